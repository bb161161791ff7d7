// A producer that should run in one process at a time, as in redlock's README: `using` extends the lock, and
// its signal aborts when that has failed.
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import Redlock from 'redlock';

const { env } = process;
const redis = new Redis(env.REDISURL);
const queue = new Queue('messages', { connection: redis });
// It waits for the lock indefinitely.
const redlock = new (Redlock.default ?? Redlock)([redis], { retryCount: -1, retryDelay: 100 });

for (;;) {
  await redlock.using(['producer'], Number(env.LEASE_TTL_MS), produce).catch(() => undefined);
}

async function produce(signal) {
  let number = Number(await redis.get('position'));
  while (!signal.aborted) {
    number++;
    await queue.add('message', { number, by: env.INSTANCE_NAME });
    await redis.set('position', number);
    await sleep(10);
  }
}
