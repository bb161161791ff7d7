import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { createAdaptorServer } from '@hono/node-server';
import { AppError } from '../errors';
import { createApp } from './app';
import { limitConnections } from './connectionLimit';
import { LiveFeed } from './liveFeed';
import { readPageFiles } from './livePage';
import type { BoardOptions } from './settings';

export interface Board {
  /** The address for a browser on this machine. */
  readonly url: string;
  /** The port that it listens on, which can differ from the configured one. */
  readonly port: number;
  /** Tells every open page immediately that leadership has changed. */
  changed(): void;
  /** Stops listening and closes every connection. Safe to call twice. */
  close(): Promise<void>;
}

/** Number of ports to try after the configured one. */
const FURTHER_PORTS = 20;

/** Timeouts for receiving a request. The response has none: the live view's never ends. */
const LIMITS_MS = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 5_000,
  /** How often the first two are checked. */
  connectionsCheckingInterval: 5_000,
};

/**
 * Serves the board over HTTP until closed.
 *
 * @throws AppError if it cannot listen, or if the port and the 20 after it are all in use.
 */
export async function startBoard(options: BoardOptions): Promise<Board> {
  const { settings, logger, group, namespace, instance } = options;
  const page = readPageFiles();
  const { readOnly } = settings;
  const operable = !readOnly && options.groupSource !== undefined;
  const hello = { namespace, instance, host: hostname(), port: 0, readOnly, operable, version: page.version };
  const feed = new LiveFeed({ read: () => group.read(), hello, logger });
  const server = createAdaptorServer({
    fetch: createApp(options, feed, page).fetch,
    serverOptions: LIMITS_MS,
    // Do not replace the global Request and Response, which tasks use too.
    overrideGlobalObjects: false,
  }) as Server;

  limitConnections(server);
  const port = await listen(server, settings.host, settings.port);
  hello.port = port;
  // Running out of file descriptors, for example, must not end the instance.
  server.on('error', (error) => logger.warn('the board could not accept a connection', { error }));

  const url = `http://${hostToShow(settings.host)}:${port}`;
  const moved = settings.port !== 0 && port !== settings.port;
  logger.info(moved ? 'board is up on the next free port; the configured port is in use' : 'board is up', {
    url,
    ...(moved && { taken: settings.port }),
  });

  let closed: Promise<void> | undefined;
  const close = () =>
    (closed ??= new Promise((resolve) => {
      server.close(() => resolve());
      void feed.close().then(() => server.closeAllConnections());
    }));
  return { url, port, changed: () => feed.changed(), close };
}

async function listen(server: Server, host: string, first: number): Promise<number> {
  const last = first === 0 ? 0 : Math.min(first + FURTHER_PORTS, 65_535);
  for (let port = first; port <= last; port++) {
    try {
      server.listen({ host, port });
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    } catch (thrown) {
      const cause = thrown as NodeJS.ErrnoException;
      if (cause.code === 'EADDRINUSE') continue;
      throw new AppError(`the board cannot listen on ${host}, port ${port}: ${cause.message}`, 1, { cause });
    }
  }
  throw new AppError(
    `the board found no free port on ${host}: ${first} to ${last} are all in use; set BOARD_PORT to a free port`,
    1,
  );
}

/** Returns the host for a URL that is opened on this machine. */
function hostToShow(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}
