// Every order of up to two faults around two commits, by the real Committer and a real Redis: see explorer.cjs.
//
//   npm run model -- --orders                 all of them
//   npm run model -- --orders --every 40      every 40th
//   npm run model -- --orders --index 1234    this one
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';

const require = createRequire(import.meta.url);
const { exploreAll, scheduleOf, isIdle, COUNT } = require('./explorer.cjs');

const WAVE = 600;

const { values } = parseArgs({
  options: { every: { type: 'string', default: '1' }, index: { type: 'string' } },
});
const indexes =
  values.index !== undefined
    ? [Number(values.index)]
    : Array.from({ length: COUNT }, (_, index) => index)
        .filter((index) => !isIdle(scheduleOf(index)))
        .filter((_, position) => position % Number(values.every) === 0);

if (spawnSync('redis-server', ['--version']).error) {
  console.error('redis-server not found on PATH; npm run setup installs it');
  process.exit(1);
}
const parts = loadParts();
const redis = await startRedis();
const startedAt = performance.now();
const failed = [];
try {
  for (let from = 0; from < indexes.length; from += WAVE) {
    const wave = indexes.slice(from, from + WAVE);
    failed.push(...(await exploreAll(parts, redis, wave)));
    await redis.client.flushall();
    if (process.stderr.isTTY) process.stderr.write(`\r${from + wave.length} of ${indexes.length} schedules`);
  }
} finally {
  await redis.stop();
}
for (const { index, faults, wrong } of failed) {
  const shown = faults.map(({ actor, n, side, kind }) => `${kind} at ${side} ${n} of ${actor}`).join(', ');
  console.log(`schedule ${index} (${shown}): ${wrong}`);
}
const seconds = Math.round((performance.now() - startedAt) / 1000);
console.log(`${indexes.length} schedules in ${seconds} s, ${failed.length} failed`);
process.exit(failed.length === 0 ? 0 : 1);

function loadParts() {
  const { Committer } = require('../dist/generating/committer.js');
  const { batchLimits, encodeBatch } = require('../dist/generating/batch.js');
  const { DeposedError } = require('../dist/errors.js');
  const { keysOf } = require('../dist/keys.js');
  const { RedisConnector } = require('../dist/redis/connector.js');
  const { parseRedisUrl } = require('../dist/redis/address.js');
  const encode = (messages, cursor) => encodeBatch({ messages, cursor }, batchLimits(5000));
  return { Committer, DeposedError, keysOf, RedisConnector, parseRedisUrl, encode };
}

async function startRedis() {
  const directory = mkdtempSync(join(tmpdir(), 'nic-orders-'));
  const port = await new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
  const args = ['--port', port, '--bind', '127.0.0.1', '--dir', directory, '--save', ''];
  const child = spawn('redis-server', args.map(String), { stdio: 'ignore' });
  const client = new Redis({ port, retryStrategy: () => 20, maxRetriesPerRequest: null });
  client.on('error', () => undefined);
  await client.ping();
  return {
    port,
    client,
    async stop() {
      client.disconnect();
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
