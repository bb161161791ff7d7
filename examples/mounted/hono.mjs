import { once } from 'node:events';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { instance, run } from './instance.mjs';

const app = new Hono();

app.get('/', async (c) => c.json({ leads: instance.isLeader, errors: (await instance.status()).errors }));
app.get('/nic', (c) => c.redirect('/nic/'));
// Not app.mount(), which strips the path that Bull Board's page needs.
app.all('/nic/*', (c) => instance.fetch(c.req.raw));

const server = createAdaptorServer(app);
await run(
  async (port) => {
    server.listen(port);
    await once(server, 'listening');
    return server.address();
  },
  () => server.close(),
);
