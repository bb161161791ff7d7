// A producer with an exclusive lease is paused for longer than the lease, and resumes when another one has taken over.
import { setTimeout as sleep } from 'node:timers/promises';
import { resolve } from 'node:path';
import { Redis } from 'ioredis';
import instances from '../testkit/instances.cjs';
import servers from '../testkit/redis.cjs';
import { compareWith, numbersIn, until, upTo } from './count.mjs';

const ROUNDS = 3;
const LEASE_TTL_MS = '1000';

export const title = 'a single producer is paused for longer than its lease, then wakes up';

export const elsewhere = {
  with: ['redlock', 'bullmq'],
  what: 'redlock’s `using`, then `queue.add`',
  run: () =>
    rounds({
      queue: 'bull:messages',
      start: (name, env) => instances.startProgram([resolve('compare/programs/redlockProducer.mjs')], env),
      holder: async (redis) => {
        const newest = await redis.get('bull:messages:id');
        const data = newest && (await redis.hget(`bull:messages:${newest}`, 'data'));
        return data && JSON.parse(data).by;
      },
    }),
};

export const here = {
  run: () =>
    rounds({
      queue: '{nic}:messages',
      start: (name, env) =>
        instances.startInstance({
          INSTANCE_NAME: name,
          ...env,
          ...{ TASK: resolve('compare/programs/numbers.mjs'), EVERY_MS: '10', KEEP_COMPLETED: '1000000' },
        }),
      holder: (redis) => redis.hget('{nic}:leader', 'instance'),
    }),
};

async function rounds({ queue, start, holder }) {
  const sum = { lost: 0, doubled: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const server = await servers.startRedis();
    const redis = new Redis(server.url);
    const count = async () => Number(await redis.get(`${queue}:id`));
    const env = (name) => ({ REDISURL: server.url, INSTANCE_NAME: name, LEASE_TTL_MS });
    const producers = new Map(['a', 'b'].map((name) => [name, start(name, env(name))]));
    await until(async () => (await count()) > 50, 'messages');
    const paused = await holder(redis);
    producers.get(paused).signal('SIGSTOP');
    await until(async () => (await holder(redis)) !== paused, 'another producer');
    const before = await count();
    await until(async () => (await count()) > before + 20, 'messages of another producer');
    producers.get(paused).signal('SIGCONT');
    await sleep(1500);
    for (const { signal, exited } of producers.values()) {
      signal('SIGKILL');
      await exited;
    }
    const numbers = await numbersIn(redis, queue);
    const { lost, doubled } = compareWith(upTo(Math.max(...numbers)), numbers);
    sum.lost += lost;
    sum.doubled += doubled;
    redis.disconnect();
    await server.stop();
  }
  return { ...sum, of: `${ROUNDS} pauses` };
}
