// A job is due every second while Redis fails over: its master is killed, and Sentinels promote the replica.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import instances from '../testkit/instances.cjs';
import servers from '../testkit/redis.cjs';
import sentinel from '../testkit/sentinel.cjs';
import { compareWith, until } from './count.mjs';

const ROUNDS = 2;

export const title = 'a tick is due every second, and Redis fails over (Sentinel)';

export const elsewhere = {
  with: ['bullmq'],
  what: 'a repeatable job (`upsertJobScheduler`, `every: 1000`)',
  run: () =>
    rounds(async (sentinels, ledger, name) => {
      const hosts = sentinels.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
      const env = { SENTINELS: JSON.stringify(hosts), LEDGER_URL: ledger.url, INSTANCE_NAME: name };
      let program;
      await new Promise((onMessage) => {
        program = instances.startProgram([resolve('compare/programs/bullmqSchedule.mjs')], env, {
          onMessage,
        });
      });
      return program;
    }),
};

export const here = {
  run: () =>
    rounds((sentinels, ledger, name) =>
      instances.startInstance({
        INSTANCE_NAME: name,
        ...{ REDISURL: sentinels.url, TASK: resolve('compare/programs/ticks.mjs'), LEDGER_URL: ledger.url },
        ...{ SCHEDULE: '* * * * * *', TZ: 'UTC', INSTANCE_NAME: name },
      }),
    ),
};

async function rounds(start) {
  const sum = { lost: 0, doubled: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const sentinels = await sentinel.startSentinels();
    const ledger = await servers.startRedis();
    const redis = new Redis(ledger.url);
    const programs = [await start(sentinels, ledger, 'a'), await start(sentinels, ledger, 'b')];
    await until(async () => (await redis.llen('ticks')) >= 5, 'five ticks');
    const master = await sentinels.master();
    await master.kill();
    await sentinels.succeeded(master);
    const overAt = Date.now();
    await sleep(8000);
    const ticks = (await redis.lrange('ticks', 0, -1)).map(Number);
    const first = Math.min(...ticks);
    // The jobs of the last two seconds might still be in progress.
    const last = overAt + 6000;
    const expected = Array.from(
      { length: Math.floor((last - first) / 1000) + 1 },
      (_, n) => first + n * 1000,
    );
    const { lost } = compareWith(expected, ticks);
    sum.lost += lost;
    sum.doubled += compareWith([], ticks).doubled;
    for (const { signal, exited } of programs) {
      signal('SIGKILL');
      await exited;
    }
    redis.disconnect();
    await Promise.all([ledger.stop(), sentinels.stop()]);
  }
  return { ...sum, of: `${ROUNDS} failovers` };
}
