// A job that is repeated every second, and a worker that records the times it receives.
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const { env } = process;
const ledger = new Redis(env.LEDGER_URL);
const connect = () =>
  new Redis({
    sentinels: JSON.parse(env.SENTINELS),
    name: 'mymaster',
    maxRetriesPerRequest: null,
    retryStrategy: () => 100,
    sentinelRetryStrategy: () => 100,
  }).on('error', () => undefined);

const queue = new Queue('ticks', { connection: connect() });
const worker = new Worker(
  'ticks',
  // repeat:<name>:<time>
  (job) => ledger.rpush('ticks', job.id.split(':').at(-1)),
  { connection: connect() },
);
for (const each of [queue, worker]) each.on('error', () => undefined);
await queue.upsertJobScheduler('tick', { every: 1000 }, { opts: { attempts: 10, backoff: 100 } });
process.send('ready');
