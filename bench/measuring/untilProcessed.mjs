// When every message has been completed or has failed, seen in Redis: the same way for all.
import { setTimeout as sleep } from 'node:timers/promises';

/** Longest time without any that is done. */
const PATIENCE_MS = 60_000;

/** @param key the hash tag of the namespace, braces included */
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
    else if (performance.now() - movedAt > PATIENCE_MS)
      throw new Error(`stuck: ${done} of ${total} are done`);
    await sleep(20);
  }
}
