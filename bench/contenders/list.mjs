// A hand-written reliable list: BLMOVE moves a message to a processing list, LREM removes it when it is done.
// One round trip per message: the LREM of one and the BLMOVE of the next are sent together. No attempts, no errors, no
// locks, and nobody requeues the active messages of dead workers.
import { Redis } from 'ioredis';
import { messages } from '../tasks/messages.mjs';

export async function fill({ port, count, bytes }) {
  const client = new Redis(port);
  for (let from = 1; from <= count; from += 1000) {
    const list = messages(from, Math.min(1000, count - from + 1), bytes);
    await client.lpush('waiting', ...list.map((each) => JSON.stringify(each)));
  }
  client.disconnect();
}

export async function handle({ port, concurrency }, tick) {
  // Each needs a connection, since BLMOVE blocks it.
  const handlers = Array.from({ length: concurrency }, async (_, index) => {
    const client = new Redis(port);
    const [own, take] = [`taken:${index}`, ['waiting', `taken:${index}`, 'RIGHT', 'LEFT', 0]];
    let text = await client.blmove(...take);
    for (;;) {
      await (async (parsed) => tick(parsed && 1))(JSON.parse(text));
      const [, [error, next]] = await client
        .pipeline()
        .lrem(own, 1, text)
        .blmove(...take)
        .exec();
      if (error) throw error;
      text = next;
    }
  });
  await Promise.all(handlers);
}
