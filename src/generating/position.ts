import type { Redis } from 'ioredis';
import type { Keys } from '../keys';

/** What has been committed: the state from which the next batch goes on. */
export interface Position {
  /** Messages ever committed. */
  readonly generated: number;
  /** JSON of the cursor; undefined before the first commit. */
  readonly cursorJson: string | undefined;
}

/** What a commit has to know before its EXEC. */
export interface Snapshot extends Position {
  readonly lastJobId: number;
  /** Messages that wait to be handled. */
  readonly waiting: number;
}

const READ_SCRIPT = `
local leader = redis.call('HMGET', KEYS[1], 'instance', 'term')
local cursor = redis.call('HMGET', KEYS[2], 'generated', 'cursor')
return { leader[1], leader[2], cursor[1], cursor[2], redis.call('GET', KEYS[3]), redis.call('LLEN', KEYS[4]) }
`;

/**
 * Watches the keys that decide about a commit and reads them, in one round trip. The next EXEC on this connection is
 * refused if any of them has changed by then.
 *
 * @param watched whether an earlier round has watched and no EXEC came of it: that would count as well
 */
export async function watchAndRead(
  client: Redis,
  { leader, cursor, jobCounter, waiting }: Pick<Keys, 'leader' | 'cursor' | 'jobCounter' | 'waiting'>,
  watched: boolean,
): Promise<Snapshot & { leader: { instance: string | null; term: string | null } }> {
  // One after the other on the same connection. A pipeline would have a function made for each of BullMQ's scripts first,
  // which takes longer than the commands.
  const forgetting = watched ? client.unwatch() : undefined;
  const watching = client.watch(leader, cursor, jobCounter);
  const reading = client.eval(READ_SCRIPT, 4, leader, cursor, jobCounter, waiting);
  const [, , values] = await Promise.all([forgetting, watching, reading]);
  type Text = string | null;
  const [instance, term, generated, cursorJson, lastJobId, length] = values as [
    ...[Text, Text, Text, Text, Text],
    number,
  ];
  return {
    leader: { instance, term },
    generated: Number(generated ?? 0),
    cursorJson: cursorJson ?? undefined,
    lastJobId: Number(lastJobId ?? 0),
    waiting: length,
  };
}
