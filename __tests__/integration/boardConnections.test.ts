import { once } from 'node:events';
import { createServer, get, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { limitConnections } from '../../src/web/connectionLimit';
import { waitFor } from '../helpers/waitFor';

let server: Server;
let sockets: Socket[];
const MAX = 20;

beforeEach(async () => {
  sockets = [];
  server = createServer((request, response) => {
    if (request.url === '/large') response.end('x'.repeat(50_000_000));
    else if (request.url === '/stream') response.write('first');
    else setTimeout(() => response.end('ok'), request.url === '/slow' ? 500 : 0);
  });
  limitConnections(server, { max: MAX, stalledMs: 300 });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const port = () => (server.address() as AddressInfo).port;

async function open(request?: string) {
  const socket = connect(port(), '127.0.0.1').on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  if (request !== undefined) socket.write(`GET ${request} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  return socket;
}

async function ask(path: string): Promise<number | undefined> {
  const request = get({ port: port(), path, agent: false });
  const [response] = (await once(request, 'response')) as [{ statusCode?: number; resume(): void }];
  response.resume();
  return response.statusCode;
}

const openConnections = () =>
  new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));

it('many idle connections neither accumulate nor block a probe', async () => {
  for (let count = 0; count < 200; count++) await open();
  expect(await ask('/healthz')).toBe(200);
  expect(await openConnections()).toBeLessThanOrEqual(MAX + 1);
});

it('connections with an active request are kept, up to the limit', async () => {
  const streams = [];
  for (let count = 0; count < MAX; count++) {
    const stream = await open('/stream');
    await once(stream, 'data');
    streams.push(stream);
  }
  const oneMore = await open('/stream');
  await once(oneMore, 'close');
  expect(streams.filter(({ destroyed }) => destroyed)).toEqual([]);
});

it('a client that does not read its response is disconnected, a client that waits for a slow response is not', async () => {
  const slow = await open('/large');
  slow.pause();
  expect(await ask('/slow')).toBe(200);
  await waitFor(async () => (await openConnections()) === 0, 'the slow client to be disconnected');
});
