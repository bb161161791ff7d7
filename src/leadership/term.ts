/*
 * Terms: which instance took the newest one (the fencing record), and how each earlier one ended.
 *
 * Every commit watches the fencing record, so only an instance that takes a term writes to it. The end of a term is
 * marked in another key, by whoever observes it: the leader that steps down in order, or a follower that has seen the
 * leader's process die. One script takes the next term and adds an entry to the history of terms. If there is no mark,
 * the leader stopped answering.
 *
 * The time without a leader is counted from the last sign of the old leader, on Redis's own clock, so the clocks of the
 * machines do not matter. The history is for display only and must never keep an instance from leading: in the script,
 * everything that can fail about it comes after the term, and its failure affects nothing else.
 */
import type { Redis } from 'ioredis';
import * as v from 'valibot';
import type { Keys, RoleKeys, SourceKeys } from '../keys';
import { loadScript } from '../redis/scripts';
import type { Role } from './role';

const CAUSES = ['first', 'crash', 'silence', 'hand-over', 'by hand'] as const;

const leaderRecord = v.object({
  instance: v.string(),
  term: v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number)),
  /** ISO 8601. */
  since: v.string(),
});

const termEntry = v.object({
  term: v.number(),
  instance: v.string(),
  /** When it was taken, in milliseconds since 1970 on Redis's clock. */
  since: v.number(),
  /** What ended the previous term; `first` if there was none. */
  cause: v.picklist(CAUSES),
  /** Details of the cause, if there are any. */
  note: v.optional(v.string()),
  /** Milliseconds since the last sign of the previous leader; absent if unknown. */
  vacantMs: v.optional(v.number()),
});

const positionEntry = v.object({
  /**
   * `term`: a term began at this position. `set`, `reset`: somebody moved the cursor. `deleted`: somebody deleted the
   * position.
   */
  event: v.picklist(['term', 'set', 'reset', 'deleted']),
  term: v.number(),
  /** The instance, or the person behind a command as `user@host`. */
  who: v.string(),
  /** Milliseconds since 1970 on Redis's clock. */
  at: v.number(),
  /** The cursor as JSON; absent if there was none. */
  cursor: v.optional(v.string()),
  /** The replaced cursor as JSON; absent if there was none. */
  from: v.optional(v.string()),
  /** Number of messages committed by then. */
  generated: v.number(),
  /** Whether the position had been deleted manually. */
  deleted: v.optional(v.boolean()),
});

/** The fencing record: which instance took the newest term, and when. */
export type LeaderRecord = Readonly<v.InferOutput<typeof leaderRecord>>;

/** One term in the history of terms. */
export type TermEntry = Readonly<v.InferOutput<typeof termEntry>>;

/** One position in the history of positions. */
export type PositionEntry = Readonly<v.InferOutput<typeof positionEntry>>;

/**
 * What ended the previous leadership: the leader's process died, the leader did not answer until its lease expired, it
 * stepped down, or somebody set the cursor.
 */
export type EndCause = Exclude<TermEntry['cause'], 'first'>;

/** A term that has been taken, and what ended the previous one. */
export type TakenTerm = Pick<TermEntry, 'term' | 'cause'>;

/** Number of terms, and of positions, that the history keeps. */
export const TERMS_KEPT = 50;
export const POSITIONS_KEPT = 50;

const TAKE_TERM = loadScript(__dirname, 'takeTerm');
const END_TERM = loadScript(__dirname, 'endTerm');

/**
 * Writes `instance` into the role's fencing record under the next term. From then on Redis refuses every commit of an
 * older term, because all commits watch this key.
 *
 * @param sinceRenewalMs how long the lease had gone without a renewal when it expired, in milliseconds, if known
 * @param knownTerm the newest term that was seen on this connection: if Redis no longer knows it, the fencing record
 * has been deleted
 */
export async function takeTerm(
  client: Redis,
  keys: Pick<Keys, 'instances' | 'roles'>,
  role: Pick<Role, 'id' | 'keys'>,
  instance: string,
  sinceRenewalMs?: number,
  knownTerm = 0,
): Promise<TakenTerm> {
  const { leader, ended, terms, cursor, positions } = role.keys as RoleKeys & Partial<SourceKeys>;
  const touched = [leader, ended, keys.instances, terms, keys.roles, cursor, positions].filter(
    (key) => key !== undefined,
  );
  const unrenewed = sinceRenewalMs === undefined ? '' : Math.round(sinceRenewalMs);
  const [term, cause] = (await client.eval(
    TAKE_TERM,
    ...[touched.length, ...touched],
    ...[instance, new Date().toISOString(), unrenewed, TERMS_KEPT, role.id, POSITIONS_KEPT, knownTerm],
  )) as [number, string];
  return { term, cause: CAUSES.find((known) => known === cause) ?? 'silence' };
}

export interface TermEnd {
  readonly instance: string;
  readonly term: number;
  readonly cause: EndCause;
  readonly note?: string;
  /** Time since the last sign of the leader, in milliseconds. */
  readonly agoMs: number;
}

/** Marks why and when a term ended, for the instance that takes the next one. Only the first mark counts. */
export async function markEnd(
  client: Redis,
  keys: Pick<RoleKeys, 'leader' | 'ended'>,
  { instance, term, cause, note = '', agoMs }: TermEnd,
): Promise<void> {
  const ago = Math.max(0, Math.round(agoMs));
  await client.eval(END_TERM, 2, keys.leader, keys.ended, instance, term, cause, note, ago);
}

/** Returns undefined before the first leader. */
export async function readLeader(
  client: Redis,
  keys: Pick<RoleKeys, 'leader'>,
): Promise<LeaderRecord | undefined> {
  return parseLeader(await client.hgetall(keys.leader));
}

/** @param hash as Redis returns it; data in Redis is untrusted */
export function parseLeader(hash: unknown): LeaderRecord | undefined {
  const parsed = v.safeParse(leaderRecord, hash);
  return parsed.success ? parsed.output : undefined;
}

/** Parses stored entries of the history of terms; drops invalid ones. */
export function parseTerms(stored: readonly string[]): TermEntry[] {
  return stored.flatMap((json) => parseEntry(termEntry, json) ?? []);
}

/** Parses stored entries of the history of positions; drops invalid ones. */
export function parsePositions(stored: readonly string[]): PositionEntry[] {
  return stored.flatMap((json) => parseEntry(positionEntry, json) ?? []);
}

function parseEntry<S extends typeof termEntry | typeof positionEntry>(
  schema: S,
  json: string,
): v.InferOutput<S> | undefined {
  try {
    const parsed = v.safeParse(schema, JSON.parse(json));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
