/*
 * Terms: who took the newest one (the fencing record), and how each one before came to its end.
 *
 * The fencing record is watched by every commit, so nothing writes to it but whoever takes a term. What is known of an
 * end is marked elsewhere, by whoever knows it: a leader that steps down in order, or a follower that has seen the
 * leader's process gone. The next term is taken together with an entry in the history of terms, in one script. Where
 * nobody left a mark, the leader fell silent.
 *
 * How long nobody led is counted from the last sign of the old leader, on Redis's own clock: clocks of different machines
 * do not matter. The history is there to be looked at, and must never keep anybody from leading: in the script, whatever
 * can fail about it comes after the term, and fails for itself alone.
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
  /** What ended the term before; `first` where there was none. */
  cause: v.picklist(CAUSES),
  /** More about the cause, where there is more to say. */
  note: v.optional(v.string()),
  /** Milliseconds from the last sign of the leader before; absent where that is not known. */
  vacantMs: v.optional(v.number()),
});

const positionEntry = v.object({
  /** `term`: one began there. `set`, `reset`: somebody moved the cursor. `deleted`: somebody deleted the position. */
  event: v.picklist(['term', 'set', 'reset', 'deleted']),
  term: v.number(),
  /** The instance, or the person behind a command as `user@host`. */
  who: v.string(),
  /** Milliseconds since 1970 on Redis's clock. */
  at: v.number(),
  /** As JSON; absent where there was none. */
  cursor: v.optional(v.string()),
  /** The cursor that was replaced, as JSON; absent where there was none. */
  from: v.optional(v.string()),
  /** Messages ever committed by then. */
  generated: v.number(),
  /** Whether the position was found to have been deleted by hand. */
  deleted: v.optional(v.boolean()),
});

/** The fencing record: who took the newest term, and when. */
export type LeaderRecord = Readonly<v.InferOutput<typeof leaderRecord>>;

/** One term in the history of terms. */
export type TermEntry = Readonly<v.InferOutput<typeof termEntry>>;

/** One position in the history of positions. */
export type PositionEntry = Readonly<v.InferOutput<typeof positionEntry>>;

/**
 * What ended the leadership before: its process died, it was silent until its lease expired, it stepped down, or somebody
 * set the cursor.
 */
export type EndCause = Exclude<TermEntry['cause'], 'first'>;

/** A term that has been taken, and what ended the one before. */
export type TakenTerm = Pick<TermEntry, 'term' | 'cause'>;

/** Terms, and positions, that the history keeps. */
export const TERMS_KEPT = 50;
export const POSITIONS_KEPT = 50;

const TAKE_TERM = loadScript(__dirname, 'takeTerm');
const END_TERM = loadScript(__dirname, 'endTerm');

/**
 * Writes `instance` into the role's fencing record under the next term. From then on Redis refuses every commit of an
 * older term: they all watch this key.
 *
 * @param sinceRenewalMs for how long the lease had not been renewed when it expired, in milliseconds, if that is known
 * @param knownTerm the newest term that was seen on this connection: if Redis knows of no such term any more, somebody has
 * deleted the fencing record
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

/** What is known of the end of a term. */
export interface TermEnd {
  readonly instance: string;
  readonly term: number;
  readonly cause: EndCause;
  readonly note?: string;
  /** How long ago the last sign of it was, in milliseconds. */
  readonly agoMs: number;
}

/** Marks why and when a term has ended, for whoever takes the next one. Does nothing once somebody has. */
export async function markEnd(
  client: Redis,
  keys: Pick<RoleKeys, 'leader' | 'ended'>,
  { instance, term, cause, note = '', agoMs }: TermEnd,
): Promise<void> {
  const ago = Math.max(0, Math.round(agoMs));
  await client.eval(END_TERM, 2, keys.leader, keys.ended, instance, term, cause, note, ago);
}

/** Undefined before the first leader. */
export async function readLeader(
  client: Redis,
  keys: Pick<RoleKeys, 'leader'>,
): Promise<LeaderRecord | undefined> {
  return parseLeader(await client.hgetall(keys.leader));
}

/** @param hash as Redis gives it; anybody can write there */
export function parseLeader(hash: unknown): LeaderRecord | undefined {
  const parsed = v.safeParse(leaderRecord, hash);
  return parsed.success ? parsed.output : undefined;
}

/** Entries of the history of terms, as they are stored; invalid ones are left out. */
export function parseTerms(stored: readonly string[]): TermEntry[] {
  return stored.flatMap((json) => parseEntry(termEntry, json) ?? []);
}

/** Entries of the history of positions, as they are stored; invalid ones are left out. */
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
