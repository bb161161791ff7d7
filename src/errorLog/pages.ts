import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { parseErrorRecord } from './record';

/** A record as it is stored. */
export interface StoredError {
  readonly id: string;
  readonly json: string;
}

/** Characters of records written or read in one round trip. */
export const BATCH_CHARS = 2_000_000;

const FIRST_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 500;

type Source = Pick<Keys, 'errors' | 'failed'>;

export type ErrorOrder = 'oldestFirst' | 'newestFirst';

/**
 * Yields every error record, page by page, in the order of the failures, and finally, also sorted, the records whose
 * job no longer exists. Pages are small if records are large, so memory does not grow with their number or size. A
 * yielded page can be cleared or retried before the next one is requested.
 */
export async function* errorPages(
  client: Redis,
  keys: Source,
  order: ErrorOrder = 'oldestFirst',
): AsyncGenerator<StoredError[]> {
  const total = await client.hlen(keys.errors);
  let seen = 0;
  let size = FIRST_PAGE_SIZE;
  let last: Place | undefined;
  for (;;) {
    const places = await placesAfter(client, keys, order, last, size);
    if (places.length === 0) break;
    last = places.at(-1);
    const records = await read(
      client,
      keys,
      places.map(({ id }) => id),
    );
    seen += records.length;
    size = pageSize(records);
    if (records.length > 0) yield records;
  }
  if (total > seen) yield* orphans(client, keys, order);
}

/** Yields the records page by page, unordered. As with HSCAN, a record can occur twice. */
export async function* scanErrors(
  client: Redis,
  keys: Source,
  signal?: AbortSignal,
): AsyncGenerator<StoredError[]> {
  let cursor = '0';
  do {
    const [next, page] = await client.hscan(keys.errors, cursor, 'COUNT', 100);
    cursor = next;
    const records: StoredError[] = [];
    for (let index = 0; index < page.length; index += 2) {
      records.push({ id: page[index]!, json: page[index + 1]! });
    }
    if (records.length > 0) yield records;
  } while (cursor !== '0' && signal?.aborted !== true);
}

/** A member of the failed set; its score is the time of its failure. */
interface Place {
  readonly id: string;
  readonly score: number;
}

/** Returns the next members of the failed set after `last`, which need not be in it anymore; empty at the end. */
async function placesAfter(
  client: Redis,
  keys: Source,
  order: ErrorOrder,
  last: Place | undefined,
  size: number,
): Promise<Place[]> {
  const direction = order === 'oldestFirst' ? 1 : -1;
  for (let start = await rankAfter(client, keys, order, last); ; start += size) {
    const stop = String(start + size - 1);
    const page = await (order === 'oldestFirst'
      ? client.zrange(keys.failed, start, stop, 'WITHSCORES')
      : client.zrevrange(keys.failed, start, stop, 'WITHSCORES'));
    if (page.length === 0) return [];
    const places: Place[] = [];
    for (let index = 0; index < page.length; index += 2) {
      const place = { id: page[index]!, score: Number(page[index + 1]) };
      if (last === undefined || direction * compare(place, last) > 0) places.push(place);
    }
    if (places.length > 0) return places;
  }
}

/** Returns the rank of the member after `last`, or a lower one. */
async function rankAfter(
  client: Redis,
  keys: Source,
  order: ErrorOrder,
  last: Place | undefined,
): Promise<number> {
  if (last === undefined) return 0;
  const oldestFirst = order === 'oldestFirst';
  const [rank, score] = await Promise.all([
    oldestFirst ? client.zrank(keys.failed, last.id) : client.zrevrank(keys.failed, last.id),
    client.zscore(keys.failed, last.id),
  ]);
  if (rank !== null && Number(score) === last.score) return rank + 1;
  return oldestFirst
    ? client.zcount(keys.failed, '-inf', `(${last.score}`)
    : client.zcount(keys.failed, `(${last.score}`, '+inf');
}

/** Compares as Redis orders a sorted set: by score, then by the bytes of the member. */
function compare(a: Place, b: Place): number {
  return a.score - b.score || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id));
}

/** Yields the records whose job is not in the failed set, sorted by time. Only times and ids are kept in memory. */
async function* orphans(client: Redis, keys: Source, order: ErrorOrder): AsyncGenerator<StoredError[]> {
  const ids: string[] = [];
  const times: number[] = [];
  for await (const records of scanErrors(client, keys)) {
    const scores = await client.zmscore(keys.failed, ...records.map(({ id }) => id));
    records.forEach(({ id, json }, index) => {
      if (scores[index] !== null) return;
      ids.push(id);
      times.push(failedAtOf(json));
    });
  }
  const sorted = Uint32Array.from(ids.keys()).sort(
    (a, b) => times[a]! - times[b]! || (ids[a]! < ids[b]! ? -1 : 1),
  );
  if (order === 'newestFirst') sorted.reverse();
  let previous: string | undefined;
  for (let start = 0, size = FIRST_PAGE_SIZE; start < sorted.length;) {
    // If the scan returned a record twice, the two are adjacent now.
    const page = [...sorted.subarray(start, start + size)].map((index) => ids[index]!);
    const distinct = page.filter((id, index) => id !== (index === 0 ? previous : page[index - 1]));
    previous = page.at(-1);
    start += size;
    const records = await read(client, keys, distinct);
    size = pageSize(records);
    if (records.length > 0) yield records;
  }
}

async function read(client: Redis, keys: Source, ids: readonly string[]): Promise<StoredError[]> {
  if (ids.length === 0) return [];
  const values = await client.hmget(keys.errors, ...ids);
  return ids.flatMap((id, index) => (typeof values[index] === 'string' ? [{ id, json: values[index] }] : []));
}

/** Returns how many records to request next, so that a page holds about one batch. */
function pageSize(records: readonly StoredError[]): number {
  if (records.length === 0) return FIRST_PAGE_SIZE;
  const average = records.reduce((sum, { json }) => sum + json.length, 0) / records.length;
  return Math.max(1, Math.min(MAX_PAGE_SIZE, Math.floor(BATCH_CHARS / average)));
}

/** Returns milliseconds since 1970; 0 if the record has no time. */
function failedAtOf(json: string): number {
  return Date.parse(parseErrorRecord(json)?.failedAt ?? '') || 0;
}
