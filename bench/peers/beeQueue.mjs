// bee-queue, tuned for speed as its README advises for a worker: no events, nothing stored in the process. It keeps no
// metrics, and can keep all completed jobs or none: here none.
import Queue from 'bee-queue';
import { messages } from '../tasks/messages.mjs';

const open = (port, isWorker) =>
  new Queue('messages', {
    redis: { host: '127.0.0.1', port },
    isWorker,
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
    removeOnSuccess: true,
    stallInterval: 30_000,
  });

export async function fill({ port, count, bytes }) {
  const queue = open(port, false);
  for (let from = 1; from <= count; from += 1000) {
    const list = messages(from, Math.min(1000, count - from + 1), bytes);
    await queue.saveAll(list.map((data) => queue.createJob(data)));
  }
  await queue.close();
}

export async function handle({ port, concurrency }, tick) {
  open(port, true).process(concurrency, async () => tick());
}
