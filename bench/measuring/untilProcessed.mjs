// Waits until every message is completed or failed according to Redis, in the same way for all.
import { setTimeout as sleep } from 'node:timers/promises';

/** Maximum time without progress, in milliseconds. */
const TIMEOUT_MS = 60_000;

/** @param key the hash tag of the namespace, including braces */
export async function untilProcessed(client, key, total, onProgress = () => undefined) {
  let [before, movedAt] = [0, performance.now()];
  for (;;) {
    const { done, failed } = await look(client, `${key}:messages`);
    onProgress(done);
    if (done >= total) return { failed };
    if (done > before) [before, movedAt] = [done, performance.now()];
    else if (performance.now() - movedAt > TIMEOUT_MS) throw new Error(`stuck: ${done} of ${total} are done`);
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
