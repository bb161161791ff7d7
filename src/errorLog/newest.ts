import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { loadScript } from '../redis/scripts';

/** A record and the time at which its job failed. Without a time, no failed job has that id. */
export interface NewestError {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly failedAt: number | undefined;
  /** Undefined: the record exceeds the requested length. */
  readonly json: string | undefined;
}

type Source = Pick<Keys, 'errors' | 'failed'>;

/** Records without a failed job are read only if there are at most this many records: Redis does not order them. */
const MAX_UNORDERED = 1000;

const NEWEST = loadScript(__dirname, 'newest');

/**
 * Returns the newest error records: first those of failed jobs, newest first, then, if these are fewer than `most`,
 * records without a failed job, unordered.
 *
 * @param longest maximum length of a record in bytes; for longer records only the id is read
 */
export async function newestErrors(
  client: Redis,
  keys: Source,
  most: number,
  longest: number,
): Promise<NewestError[]> {
  const newest = await ask(client, keys, most, longest, []);
  if (newest.length >= most) return newest;
  const total = await client.hlen(keys.errors);
  if (total <= newest.length || total > MAX_UNORDERED) return newest;
  const ids = await client.hkeys(keys.errors);
  const scores = await client.zmscore(keys.failed, ...ids);
  const unordered = ids.filter((_, index) => scores[index] === null);
  return ask(client, keys, most, longest, unordered.slice(0, most - newest.length));
}

async function ask(client: Redis, keys: Source, most: number, longest: number, more: string[]) {
  const reply = (await client.eval(
    NEWEST,
    ...[2, keys.errors, keys.failed],
    ...[most, longest, ...more],
  )) as string[];
  const found: NewestError[] = [];
  for (let index = 0; index < reply.length; index += 3) {
    const [id, score, json] = reply.slice(index, index + 3) as [string, string, string];
    found.push({
      id,
      failedAt: score === '' ? undefined : Number(score),
      json: json === '' ? undefined : json,
    });
  }
  return found;
}
