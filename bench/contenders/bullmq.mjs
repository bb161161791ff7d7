// BullMQ alone, with the options that an instance gives it: see src/handling/worker.ts and src/redis/queue.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import { MetricsTime, Queue, Worker } from 'bullmq';
import { startSignal } from '../measuring/startSignal.mjs';
import { answerMemory } from '../measuring/memory.mjs';
import { messages } from '../tasks/messages.mjs';

const PREFIX = '{nic}';
const JOB_OPTIONS = { removeOnComplete: { count: 1000 }, removeOnFail: false, stackTraceLimit: 5 };
const WORKER_OPTIONS = {
  prefix: PREFIX,
  lockDuration: 30_000,
  stalledInterval: 7_500,
  maxStalledCount: Number.MAX_SAFE_INTEGER,
  runRetryDelay: 500,
  metrics: { maxDataPoints: MetricsTime.ONE_HOUR * 24 },
};
/** MAX_BACKLOG and the pause before the next check, like an instance. */
const MAX_BACKLOG = 100_000;
const BACKLOG_PAUSE_MS = 100;

const open = (port) => new Queue('messages', { connection: { host: '127.0.0.1', port }, prefix: PREFIX });
const jobs = (list) => list.map((data) => ({ name: 'message', data, opts: JOB_OPTIONS }));
const work = (port, concurrency, handler) =>
  new Worker('messages', handler, {
    connection: { host: '127.0.0.1', port, maxRetriesPerRequest: null },
    concurrency,
    ...WORKER_OPTIONS,
  });

export async function fill({ port, count, bytes, from: first = 1 }) {
  const queue = open(port);
  const step = Math.max(1, Math.min(1000, Math.floor(10_000_000 / bytes)));
  for (let from = first; from < first + count; from += step) {
    await queue.addBulk(jobs(messages(from, Math.min(step, first + count - from), bytes)));
  }
  await queue.close();
}

export async function handle({ port, concurrency = 1 }, tick) {
  work(port, concurrency, async () => tick());
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

/** The producer of the million; starts on the start signal. */
export async function produce({ port, total, batch }) {
  const started = startSignal();
  const queue = open(port);
  await queue.waitUntilReady();
  answerMemory();
  process.send({ event: 'ready' });
  await started;
  for (let from = 1; from <= total; from += batch) {
    while ((await queue.getWaitingCount()) >= MAX_BACKLOG) await sleep(BACKLOG_PAUSE_MS);
    await queue.addBulk(jobs(messages(from, Math.min(batch, total - from + 1))));
  }
}

/** The worker of the million. */
export async function consume({ port }) {
  const worker = work(port, 1, async ({ data: { number } }) => {
    if (number % 100 === 0) throw new Error(`number ${number} fails`);
  });
  await worker.waitUntilReady();
  answerMemory();
  process.send({ event: 'ready' });
}
