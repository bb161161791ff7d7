// Waits until every message is completed or failed according to Redis, in the same way for all.
import { setTimeout as sleep } from 'node:timers/promises';

/** Maximum time without progress, in milliseconds. */
const TIMEOUT_MS = 60_000;

/** @param key the hash tag of the namespace, including braces */
export async function untilProcessed(client, key, total, onProgress = () => undefined) {
  let [before, movedAt] = [0, performance.now()];
  for (;;) {
    const [completed, failed] = await Promise.all([
      client.hget(`${key}:messages:metrics:completed`, 'count'),
      client.zcard(`${key}:messages:failed`),
    ]);
    const done = Number(completed ?? 0) + failed;
    onProgress(done);
    if (done >= total) return { failed };
    if (done > before) [before, movedAt] = [done, performance.now()];
    else if (performance.now() - movedAt > TIMEOUT_MS) throw new Error(`stuck: ${done} of ${total} are done`);
    await sleep(20);
  }
}
