// A worker with BullMQ's defaults. The first handler that receives a message never ends.
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';

const { env } = process;
const ledger = new Redis(env.REDISURL);
const worker = new Worker(
  'messages',
  async () => {
    const starts = await ledger.rpush('starts', env.INSTANCE_NAME);
    if (starts === 1) await new Promise(() => undefined);
  },
  { connection: new Redis(env.REDISURL, { maxRetriesPerRequest: null }) },
);
await worker.waitUntilReady();
process.send('ready');
