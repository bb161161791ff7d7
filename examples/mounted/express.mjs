import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import express from 'express';
import { instance, run } from './instance.mjs';

const app = express();

app.get('/', async (_request, response) => {
  response.json({ leads: instance.isLeader, errors: (await instance.status()).errors });
});

// Before any body parser, since bodies are passed on unchanged.
app.use('/nic', async (request, response) => {
  if (request.originalUrl === '/nic') return response.redirect('/nic/');
  const answer = await instance.fetch(toRequest(request));
  response.status(answer.status);
  for (const [name, value] of answer.headers) response.append(name, value);
  if (answer.body === null) return response.end();
  // A client that goes away ends the stream.
  await pipeline(Readable.fromWeb(answer.body), response).catch(() => undefined);
});

/** With the full URL, since Express strips the mount path. */
function toRequest(request) {
  const { method, headers } = request;
  const url = new URL(request.originalUrl, `${request.protocol}://${request.get('host')}`);
  const body = ['GET', 'HEAD'].includes(method) ? null : Readable.toWeb(request);
  return new Request(url, { method, headers, body, duplex: 'half' });
}

let server;
await run(
  async (port) => {
    server = app.listen(port);
    await once(server, 'listening');
    return server.address();
  },
  () => server?.close(),
);
