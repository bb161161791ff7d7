// When every message has been completed or has failed, seen in Redis: the same way for all.
import { setTimeout as sleep } from 'node:timers/promises';

/** Longest time without any that is done. */
const PATIENCE_MS = 60_000;

/** @param key the hash tag of the namespace, braces included */
export async function untilProcessed(client, key, total, onProgress = () => undefined) {
  let [before, movedAt] = [0, performance.now()];
  for (;;) {
    const { done, failed } = await look(client, `${key}:messages`);
    onProgress(done);
    if (done >= total) return { failed };
    if (done > before) [before, movedAt] = [done, performance.now()];
    else if (performance.now() - movedAt > PATIENCE_MS)
      throw new Error(`stuck: ${done} of ${total} are done`);
    await sleep(20);
  }
}

/** What was ever added and is not on its way any more, whether or not completed jobs are kept. */
async function look(client, queue) {
  const replies = await client
    .multi()
    .get(`${queue}:id`)
    .llen(`${queue}:wait`)
    .llen(`${queue}:active`)
    .zcard(`${queue}:delayed`)
    .zcard(`${queue}:failed`)
    .exec();
  const [added, waiting, active, delayed, failed] = replies.map(([error, reply]) => {
    if (error) throw error;
    return Number(reply ?? 0);
  });
  return { done: added - waiting - active - delayed, failed };
}
