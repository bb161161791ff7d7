// Runs every order of up to two faults around two commits with the real Committer and a real Redis: see explorer.cjs.
//
//   npm run model -- --orders                 all of them
//   npm run model -- --orders --every 40      every 40th
//   npm run model -- --orders --kill          those with a restart, with Redis really killed
//   npm run model -- --orders --index 1234    this one
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { killOnExit } from '../testkit/children.cjs';
import { DURABLE, startRedis } from '../testkit/redis.cjs';

const require = createRequire(import.meta.url);
const { exploreAll, scheduleOf, isIdle, restarts, COUNT } = require('./explorer.cjs');

const WAVE = 600;
/** The number of concurrent servers; each schedule kills its own. */
const SERVERS = 4;

const { values } = parseArgs({
  options: {
    every: { type: 'string', default: '1' },
    index: { type: 'string' },
    kill: { type: 'boolean', default: false },
  },
});
const indexes =
  values.index !== undefined
    ? [Number(values.index)]
    : Array.from({ length: COUNT }, (_, index) => index)
        .filter((index) => !isIdle(scheduleOf(index)))
        .filter((index) => !values.kill || restarts(scheduleOf(index)))
        .filter((_, position) => position % Number(values.every) === 0);

if (spawnSync('redis-server', ['--version']).error) {
  console.error('redis-server not found on PATH; npm run setup installs it');
  process.exit(1);
}
killOnExit();
const parts = loadParts();
const startedAt = performance.now();
const failed = values.kill ? await exploreKilling() : await exploreTogether();
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

async function exploreTogether() {
  const redis = await startRedis();
  const failed = [];
  try {
    for (let from = 0; from < indexes.length; from += WAVE) {
      const wave = indexes.slice(from, from + WAVE);
      failed.push(...(await exploreAll(parts, redis, wave)));
      await redis.client.flushall();
      if (process.stderr.isTTY)
        process.stderr.write(`\r${from + wave.length} of ${indexes.length} schedules`);
    }
  } finally {
    await redis.stop();
  }
  return failed;
}

async function exploreKilling() {
  const lanes = Array.from({ length: SERVERS }, async (_, lane) => {
    const redis = await startRedis(DURABLE);
    try {
      const mine = indexes.filter((_, position) => position % SERVERS === lane);
      return await exploreAll(parts, redis, mine, { kills: true });
    } finally {
      await redis.stop();
    }
  });
  return (await Promise.all(lanes)).flat();
}
