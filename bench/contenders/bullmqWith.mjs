// BullMQ alone, in the roles that the benchmark has. Its keys are where an instance has them, so that a queue that was
// filled once can be handled by both in turn.
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { startSignal } from '../measuring/startSignal.mjs';
import { answerMemory } from '../measuring/memory.mjs';
import { messages } from '../tasks/messages.mjs';

const PREFIX = '{nic}';
/** MAX_BACKLOG, and how long to wait before looking again, as an instance does. */
const MAX_BACKLOG = 100_000;
const BACKLOG_PAUSE_MS = 100;

const open = (port) => new Queue('messages', { connection: { host: '127.0.0.1', port }, prefix: PREFIX });
const jobs = (list) => list.map((data) => ({ name: 'message', data }));

/** @param options of the worker */
export function bullmqWith(options) {
  const work = (port, concurrency, handler) =>
    new Worker('messages', handler, {
      connection: { host: '127.0.0.1', port },
      prefix: PREFIX,
      concurrency,
      ...options,
    });

  return {
    fill,
    generate,
    produce,
    async handle({ port, concurrency = 1 }, tick) {
      work(port, concurrency, async () => tick());
    },
    /** One half of the million: handles it. */
    async consume({ port }) {
      const worker = work(port, 1, async ({ data: { number } }) => {
        if (number % 100 === 0) throw new Error(`number ${number} fails`);
      });
      await worker.waitUntilReady();
      answerMemory();
      process.send({ event: 'ready' });
    },
  };
}

async function fill({ port, count, bytes, from: first = 1 }) {
  const queue = open(port);
  const step = Math.max(1, Math.min(1000, Math.floor(10_000_000 / bytes)));
  for (let from = first; from < first + count; from += step) {
    await queue.addBulk(jobs(messages(from, Math.min(step, first + count - from), bytes)));
  }
  await queue.close();
}

async function generate({ port, batch, bytes }, tick) {
  const queue = open(port);
  for (let from = 1; ; from += batch) {
    const list = messages(from, batch, bytes);
    if (batch === 1) await queue.add('message', list[0]);
    else await queue.addBulk(jobs(list));
    tick(batch);
  }
}

/** The other half of the million: makes it once it gets the start signal. */
async function produce({ port, total, batch }) {
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
