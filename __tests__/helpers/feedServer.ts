import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';

/** An HTTP server for tests with configurable answers. */
export interface FeedServer {
  readonly url: string;
  /** Every request so far. */
  readonly requests: { readonly at: number; readonly headers: IncomingMessage['headers'] }[];
  /** Sets how the next requests are answered. */
  answer: (request: IncomingMessage, response: ServerResponse) => unknown;
  /** Resolves after that many requests. */
  requested(count: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startFeedServer(answer: RequestListener): Promise<FeedServer> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const feed: FeedServer = {
    url: `http://127.0.0.1:${port}/feed`,
    requests: [],
    answer,
    async requested(count) {
      while (feed.requests.length < count) await once(server, 'request');
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  server.on('request', (request, response) => {
    feed.requests.push({ at: performance.now(), headers: request.headers });
    feed.answer(request, response);
  });
  return feed;
}
