/*
 * Terms: who took the newest one (the fencing record), and how each one before came to its end.
 *
 * The fencing record is watched by every commit, so that nothing writes to it but whoever takes a term. What is known
 * of an end is marked elsewhere, by whoever knows it: a leader that steps down in order, or a follower that has seen the
 * leader's process gone. The next term is taken together with an entry in the history of terms, in one script. Where
 * nobody left a mark, the leader fell silent.
 *
 * How long nobody led is counted from the last sign of the old leader, on Redis's own clock: clocks of different machines
 * do not matter. History is there to be looked at, and must never keep anybody from leading: in the script, whatever may
 * fail about it comes after the term, and fails for itself alone.
 */
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';

/** The fencing record: who took the newest term, and when. */
export interface LeaderRecord {
  readonly instance: string;
  readonly term: number;
  /** ISO 8601. */
  readonly since: string;
}

/** What ended the leadership before: its process was gone, it was not heard of until its lease ran out, or it stepped down. */
export type EndCause = 'crash' | 'silence' | 'hand-over';

/** One term in the history of terms. */
export interface TermEntry {
  readonly term: number;
  readonly instance: string;
  /** When it was taken, in milliseconds since 1970 on Redis's clock. */
  readonly since: number;
  /** What ended the term before; `first` where there was none. */
  readonly cause: EndCause | 'first';
  /** More about the cause, where there is more to say. */
  readonly note?: string;
  /** Milliseconds from the last sign of the leader before; absent where that is not known. */
  readonly vacantMs?: number;
}

/** A term that has been taken, and what ended the one before. */
export type TakenTerm = Pick<TermEntry, 'term' | 'cause'>;

const CAUSES = ['first', 'crash', 'silence', 'hand-over'] as const;

/** Terms that the history keeps. */
const TERMS_KEPT = 50;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/**
 * KEYS: leader, ended, instances, terms. ARGV: instance, since, for how long the lease had not been renewed ('' if that is
 * not known), terms kept. What is read of other keys is read with pcall: it may be of any type.
 */
const TAKE_TERM_SCRIPT = `
local before = redis.call('HMGET', KEYS[1], 'instance', 'term')
local term = redis.call('HINCRBY', KEYS[1], 'term', 1)
redis.call('HSET', KEYS[1], 'instance', ARGV[1], 'since', ARGV[2])
${NOW}
local entry = { term = term, instance = ARGV[1], since = now, cause = 'first' }
if before[2] then
  entry.cause = 'silence'
  local lastSign
  local mark = redis.pcall('HMGET', KEYS[2], 'term', 'cause', 'at', 'note')
  if mark[1] == before[2] and mark[2] then
    entry.cause = mark[2]
    entry.note = mark[4] or nil
    lastSign = tonumber(mark[3])
  else
    local report = redis.pcall('HGET', KEYS[3], before[1] or '')
    if type(report) == 'string' then lastSign = tonumber(string.match(report, '^{"seen":(%d+)')) end
    if ARGV[3] ~= '' then lastSign = math.max(lastSign or 0, now - tonumber(ARGV[3])) end
  end
  if lastSign then entry.vacantMs = math.max(0, now - lastSign) end
end
redis.pcall('LPUSH', KEYS[4], cjson.encode(entry))
redis.pcall('LTRIM', KEYS[4], 0, ARGV[4] - 1)
return { term, entry.cause }
`;

/** KEYS: leader, ended. ARGV: instance, term, cause, note, how long ago. The first to say why a term has ended is right. */
const END_TERM_SCRIPT = `
local newest = redis.call('HMGET', KEYS[1], 'instance', 'term')
if newest[1] ~= ARGV[1] or newest[2] ~= ARGV[2] then return end
if redis.call('HGET', KEYS[2], 'term') == ARGV[2] then return end
${NOW}
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'term', ARGV[2], 'cause', ARGV[3], 'at', string.format('%d', now - ARGV[5]))
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'note', ARGV[4]) end
`;

/**
 * Writes `instance` into the fencing record under the next term. From then on Redis refuses every commit of an older
 * term: they all watch this key.
 *
 * @param unrenewedMs for how long the lease had not been renewed when it ran out, in milliseconds, if that is known
 */
export async function takeTerm(
  client: Redis,
  keys: Pick<Keys, 'leader' | 'ended' | 'instances' | 'terms'>,
  instance: string,
  unrenewedMs?: number,
): Promise<TakenTerm> {
  const { leader, ended, instances, terms } = keys;
  const unrenewed = unrenewedMs === undefined ? '' : Math.round(unrenewedMs);
  const since = new Date().toISOString();
  const [term, cause] = (await client.eval(
    TAKE_TERM_SCRIPT,
    ...[4, leader, ended, instances, terms],
    ...[instance, since, unrenewed, TERMS_KEPT],
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
  keys: Pick<Keys, 'leader' | 'ended'>,
  { instance, term, cause, note = '', agoMs }: TermEnd,
): Promise<void> {
  const ago = Math.max(0, Math.round(agoMs));
  await client.eval(END_TERM_SCRIPT, 2, keys.leader, keys.ended, instance, term, cause, note, ago);
}

/** Undefined before the first leader. */
export async function readLeader(
  client: Redis,
  keys: Pick<Keys, 'leader'>,
): Promise<LeaderRecord | undefined> {
  return leaderRecordOf(await client.hgetall(keys.leader));
}

/** @param hash as Redis gives it */
export function leaderRecordOf({
  instance,
  term,
  since,
}: Record<string, string | undefined>): LeaderRecord | undefined {
  if (instance === undefined || term === undefined || since === undefined) return undefined;
  return { instance, term: Number(term), since };
}

/** Entries of the history of terms, as they are stored; what is no such entry is left out. */
export function termEntriesOf(stored: readonly string[]): TermEntry[] {
  return stored.flatMap((json) => {
    try {
      const entry = JSON.parse(json) as Partial<TermEntry> | null;
      const { term, instance, since, cause, note, vacantMs } = entry ?? {};
      const fits =
        [typeof term, typeof since, typeof instance, typeof cause].join() === 'number,number,string,string';
      const known = typeof (vacantMs ?? 0) === 'number' && typeof (note ?? '') === 'string';
      return fits && known ? [entry as TermEntry] : [];
    } catch {
      return [];
    }
  });
}
