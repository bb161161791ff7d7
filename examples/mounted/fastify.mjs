import fastify from 'fastify';
import { instance, run } from './instance.mjs';

const app = fastify();

app.get('/', async () => ({ leads: instance.isLeader, errors: (await instance.status()).errors }));
app.get('/nic', (_request, reply) => reply.redirect('/nic/'));

// In a separate scope, since bodies are passed on unchanged.
app.register(async (scope) => {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  scope.all('/nic/*', async (request, reply) => {
    const url = new URL(request.originalUrl, `${request.protocol}://${request.host}`);
    const { method, headers, body } = request;
    // Fastify sends a Response as it is.
    return reply.send(await instance.fetch(new Request(url, { method, headers, body, duplex: 'half' })));
  });
});

await run(
  async (port) => {
    await app.listen({ port });
    return app.server.address();
  },
  () => app.close(),
);
