import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { knownInstances } from '../membership/registry';
import { subscribersOf } from '../membership/presence';

const BATCH_SIZE = 500;

/** Returns the names of the living instances, as far as known. A connected instance without a report has no name. */
export async function liveInstances(client: Redis, keys: Keys): Promise<string[]> {
  const [{ instances }, subscribers] = await Promise.all([
    knownInstances(client, keys),
    subscribersOf(client, keys.leadership),
  ]);
  const names = instances.filter(({ state }) => state !== 'dead').map(({ instance }) => instance);
  return names.length === 0 && subscribers > 0 ? ['an instance without a report'] : names;
}

/**
 * Removes every key of the namespace from Redis, and returns their number. Large values are freed in the background.
 * Use it only for a group without living instances: call `liveInstances` first.
 */
export async function removeKeys(client: Redis, keys: Pick<Keys, 'queuePrefix'>): Promise<number> {
  const pattern = `${keys.queuePrefix.replace(/[\\*?[\]^]/g, String.raw`\$&`)}:*`;
  let removed = 0;
  let at = '0';
  do {
    const [next, found] = await client.scan(at, 'MATCH', pattern, 'COUNT', BATCH_SIZE);
    if (found.length > 0) removed += await client.unlink(...found);
    at = next;
  } while (at !== '0');
  return removed;
}
