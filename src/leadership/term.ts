import type { Redis } from 'ioredis';
import type { Keys } from '../keys';

/** The fencing record: who took the newest term, and when. */
export interface LeaderRecord {
  readonly instance: string;
  readonly term: number;
  /** ISO 8601. */
  readonly since: string;
}

const TAKE_TERM_SCRIPT = `
local term = redis.call('HINCRBY', KEYS[1], 'term', 1)
redis.call('HSET', KEYS[1], 'instance', ARGV[1], 'since', ARGV[2])
return term
`;

/**
 * Writes `instance` into the fencing record under the next term. From then on Redis refuses every commit of an older
 * term: they all watch this key.
 */
export async function takeTerm(client: Redis, keys: Pick<Keys, 'leader'>, instance: string): Promise<number> {
  return Number(await client.eval(TAKE_TERM_SCRIPT, 1, keys.leader, instance, new Date().toISOString()));
}

/** Undefined before the first leader. */
export async function readLeader(
  client: Redis,
  keys: Pick<Keys, 'leader'>,
): Promise<LeaderRecord | undefined> {
  const { instance, term, since } = await client.hgetall(keys.leader);
  if (instance === undefined || term === undefined || since === undefined) return undefined;
  return { instance, term: Number(term), since };
}
