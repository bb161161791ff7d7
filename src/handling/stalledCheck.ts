import type { Redis } from 'ioredis';
import type { Keys } from '../keys';

/**
 * BullMQ looks for messages whose lock has expired several times per lock, and a key that expires keeps the workers from
 * doing so more often. If the clock of Redis is set back meanwhile, by an hour for example, the key stays for that hour,
 * and a message without a lock stays active. Deletes the key if it would stay for longer than a lock lasts.
 */
export async function freeStalledCheck(
  client: Redis,
  keys: Pick<Keys, 'stalledCheck'>,
  jobLockMs: number,
): Promise<void> {
  if ((await client.pttl(keys.stalledCheck)) > jobLockMs) await client.del(keys.stalledCheck);
}
