// A producer crashes between adding a batch and saving its position, and is started again.
import { resolve } from 'node:path';
import { Redis } from 'ioredis';
import instances from '../testkit/instances.cjs';
import servers from '../testkit/redis.cjs';
import { compareWith, numbersIn, until, upTo } from './count.mjs';

const TOTAL = 100;

export const title = 'a producer crashes between adding a batch of ten and saving its position';

export const elsewhere = {
  with: ['bullmq'],
  what: '`addBulk` and a saved position, in either order',
  async run() {
    const start = (env) => instances.startProgram([resolve('compare/programs/bullmqProducer.mjs')], env);
    const [last, first] = [
      await crashed('bull:messages', start, { SAVE: 'last' }),
      await crashed('bull:messages', start, { SAVE: 'first' }),
    ];
    return { lost: first.lost, doubled: last.doubled, of: '2 crashes' };
  },
};

export const here = {
  async run() {
    const task = { TASK: resolve('compare/programs/numbers.mjs'), BATCH: '10', KEEP_COMPLETED: '1000000' };
    const start = (env) => instances.startInstance({ INSTANCE_NAME: 'a', ...task, ...env });
    const found = [
      await crashed('{nic}:messages', start, {}),
      await crashed('{nic}:messages', start, { CRASH: 'during' }),
    ];
    const sum = (field) => found.reduce((total, each) => total + each[field], 0);
    return { lost: sum('lost'), doubled: sum('doubled'), of: '2 crashes' };
  },
};

async function crashed(queue, start, more) {
  const server = await servers.startRedis();
  const redis = new Redis(server.url);
  const env = { REDISURL: server.url, TOTAL: String(TOTAL), ...more };
  await start({ ...env, CRASH_AT: '4' }).exited;
  const again = start(env);
  await until(async () => (await numbersIn(redis, queue)).includes(TOTAL), 'the last message');
  again.signal('SIGKILL');
  await again.exited;
  const result = compareWith(upTo(TOTAL), await numbersIn(redis, queue));
  redis.disconnect();
  await server.stop();
  return result;
}
