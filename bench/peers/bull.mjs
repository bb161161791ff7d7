// Bull, the predecessor of BullMQ, with an instance's retention and lock.
import Queue from 'bull';
import { messages } from '../tasks/messages.mjs';

const JOB_OPTIONS = { removeOnComplete: 1000, removeOnFail: false };
const open = (port) =>
  new Queue('messages', {
    redis: { host: '127.0.0.1', port },
    settings: { lockDuration: 30_000, stalledInterval: 7_500 },
  });

export async function fill({ port, count, bytes }) {
  const queue = open(port);
  for (let from = 1; from <= count; from += 1000) {
    const list = messages(from, Math.min(1000, count - from + 1), bytes);
    await queue.addBulk(list.map((data) => ({ data, opts: JOB_OPTIONS })));
  }
  await queue.close();
}

export async function handle({ port, concurrency }, tick) {
  await open(port).process(concurrency, async () => tick());
}
