// A small service that checks sites and serves the results over HTTP. Start as many instances as you like: the sites
// are shared among all of them, and each site is checked once per round.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInstance } from 'node-instances-communication';
import { createChecks, type Result } from './checks.js';

const { URLS = 'https://example.org', EVERY_MS = '10000', PORT = '8080' } = process.env;

/** The last result of this process for each site. */
const latest = new Map<string, Result>();

const instance = createInstance({
  task: createChecks({
    urls: URLS.split(','),
    everyMs: Number(EVERY_MS),
    onResult: (result) => latest.set(result.url, result),
  }),
  // The service has its own port; REDISURL and the other settings come from the environment.
  env: { NAMESPACE: 'checks', BOARD: 'off', ...process.env },
});

const server = createServer((_request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(`${JSON.stringify([...latest.values()])}\n`);
});

async function start(): Promise<void> {
  await instance.start();
  await once(server.listen(Number(PORT)), 'listening');
  console.error(`listening on port ${PORT}`);
}

async function stop(): Promise<void> {
  server.close();
  // Hands over leadership and finishes active messages. Nothing is left open, so the process exits by itself.
  await instance.stop();
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

start().catch(async (error: unknown) => {
  // The message says what is wrong and what was expected.
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
  await stop();
});
