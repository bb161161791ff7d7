// BullMQ alone, with the options that an instance gives it: see src/messages/worker.ts and queue.ts.
import { MetricsTime, Queue, Worker } from 'bullmq';
import { messages } from '../messages.mjs';

export const PREFIX = '{nic}';
export const JOB_OPTIONS = { removeOnComplete: { count: 1000 }, removeOnFail: false, stackTraceLimit: 5 };
const WORKER_OPTIONS = {
  prefix: PREFIX,
  lockDuration: 30_000,
  stalledInterval: 7_500,
  maxStalledCount: Number.MAX_SAFE_INTEGER,
  runRetryDelay: 500,
  metrics: { maxDataPoints: MetricsTime.ONE_HOUR * 24 },
};

const open = (port) => new Queue('messages', { connection: { host: '127.0.0.1', port }, prefix: PREFIX });
const jobs = (list) => list.map((data) => ({ name: 'message', data, opts: JOB_OPTIONS }));

export async function fill({ port, count, bytes }) {
  const queue = open(port);
  const step = Math.max(1, Math.min(1000, Math.floor(10_000_000 / bytes)));
  for (let from = 1; from <= count; from += step) {
    await queue.addBulk(jobs(messages(from, Math.min(step, count - from + 1), bytes)));
  }
  await queue.close();
}

export async function handle({ port, concurrency }, tick) {
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
  new Worker('messages', async () => tick(), { connection, concurrency, ...WORKER_OPTIONS });
}

export async function generate({ port, batch, bytes }, tick) {
  const queue = open(port);
  for (let from = 1; ; from += batch) {
    const list = messages(from, batch, bytes);
    if (batch === 1) await queue.add('message', list[0], JOB_OPTIONS);
    else await queue.addBulk(jobs(list));
    tick(batch);
  }
}
