import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy between a client and a Redis on this machine, that can be made to misbehave as networks do. */
export interface Proxy {
  readonly url: string;
  readonly port: number;
  /** Bytes of these directions vanish from now on, while the connections stay: half-open. */
  swallow(what: 'nothing' | 'questions' | 'answers' | 'all'): void;
  /** What clients send is kept here until `release`. */
  hold(): void;
  /** What was held is sent on; resolves when Redis has had it. */
  release(): Promise<void>;
  /** Delays both directions by so many milliseconds. */
  delay(ms: number): void;
  /** Breaks every connection. */
  cut(): void;
  /** Breaks the clients' side alone: Redis still gets what was held. */
  cutClients(): void;
  /** While refused, new connections are broken at once. */
  refuse(on: boolean): void;
  close(): Promise<void>;
}

interface Pair {
  client: Socket;
  server: Socket;
  held: Buffer[];
}

export async function startProxy(targetPort: number): Promise<Proxy> {
  let swallowed: 'nothing' | 'questions' | 'answers' | 'all' = 'nothing';
  let holding = false;
  let refusing = false;
  let delayMs = 0;
  const pairs = new Set<Pair>();

  const listener = createServer((client) => {
    if (refusing) return void client.destroy();
    const server = connect(targetPort, '127.0.0.1');
    const pair: Pair = { client, server, held: [] };
    pairs.add(pair);
    const later = (send: () => void) => (delayMs === 0 ? send() : void setTimeout(send, delayMs));
    client.on('data', (chunk: Buffer) => {
      if (swallowed === 'questions' || swallowed === 'all') return;
      if (holding) pair.held.push(chunk);
      else later(() => server.writable && server.write(chunk));
    });
    server.on('data', (chunk: Buffer) => {
      if (swallowed === 'answers' || swallowed === 'all') return;
      later(() => client.writable && client.write(chunk));
    });
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.on('close', () => {
      if (!holding) server.destroy();
    });
    server.on('close', () => {
      client.destroy();
      pairs.delete(pair);
    });
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = listener.address() as { port: number };

  const cut = () => {
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    swallow: (what) => void (swallowed = what),
    hold: () => void (holding = true),
    async release() {
      holding = false;
      for (const { server, held, client } of pairs) {
        for (const chunk of held.splice(0)) await new Promise((resolve) => server.write(chunk, resolve));
        // Redis ends the connection when it has dealt with all of it.
        if (client.destroyed) await new Promise((resolve) => server.end().once('close', resolve));
      }
    },
    delay: (ms) => void (delayMs = ms),
    cut,
    cutClients() {
      for (const { client } of pairs) client.destroy();
    },
    refuse: (on) => void (refusing = on),
    async close() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
