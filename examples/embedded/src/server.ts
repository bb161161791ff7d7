// A small service that looks at sites and serves what it has seen over HTTP. Start it as often as you like: the sites
// are shared out among all of them, and each site is looked at once a round.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInstance } from 'node-instances-communication';
import { createChecks, type Result } from './checks.js';

const { URLS = 'https://example.org', EVERY_MS = '10000', PORT = '8080' } = process.env;

/** Of each site, what this process saw last. */
const latest = new Map<string, Result>();

const instance = createInstance({
  task: createChecks({
    urls: URLS.split(','),
    everyMs: Number(EVERY_MS),
    onResult: (result) => latest.set(result.url, result),
  }),
  // The service has a port of its own; REDISURL and all the rest come from outside.
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
  // Hands leadership over and finishes what is in hand. Nothing is left open then, and the process ends by itself.
  await instance.stop();
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

start().catch(async (error: unknown) => {
  // Its message says what is wrong, and what was expected.
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
  await stop();
});
