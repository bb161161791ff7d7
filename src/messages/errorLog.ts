/*
 * The error log: the hash of error records, kept true to BullMQ's failed set.
 *
 * There is one operation, `sync`: look whether the job is in the failed set now, and write or remove its record
 * accordingly, in one script. What happened to the job in the meantime does not matter, nor how often or in which
 * order it is synced. Every event about a job is only a hint to sync it, and reconciling is syncing whatever looks
 * amiss.
 */
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { type ErrorRecord, errorRecordOf } from './errorRecord';

/** A record as it is stored. */
export interface StoredError {
  readonly id: string;
  readonly json: string;
}

/** Ids looked at in one round trip. */
const PAGE = 500;

/**
 * KEYS: errors, failed, recorder. ARGV: stream position ('' leaves it), then id, finishedOn, record for each job. A job
 * that failed again since it was read is left: another event tells of that.
 */
const SYNC_SCRIPT = `
for i = 2, #ARGV, 3 do
  local failedAt = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if not failedAt then
    redis.call('HDEL', KEYS[1], ARGV[i])
  elseif tonumber(failedAt) == tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[3], 'position', ARGV[1]) end
`;

/**
 * KEYS: errors, failed. ARGV: id, record for each error. Removes each record that still is the given one, and takes its
 * job out of the failed set. Gives how many records went, and the ids so taken: they are in no set any more, so that
 * nobody can retry them while their jobs are deleted.
 */
const CLEAR_SCRIPT = `
local removed, taken = 0, {}
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    removed = removed + redis.call('HDEL', KEYS[1], ARGV[i])
    if redis.call('ZREM', KEYS[2], ARGV[i]) == 1 then table.insert(taken, ARGV[i]) end
  end
end
return { removed, taken }
`;

export class ErrorLog {
  readonly #client: Redis;
  readonly #queue: Queue;
  readonly #keys: Keys;
  #cleared = 0;

  /** @param queue for reading jobs */
  constructor(client: Redis, queue: Queue, keys: Keys) {
    this.#client = client;
    this.#queue = queue;
    this.#keys = keys;
  }

  /**
   * Makes the records of these jobs true.
   *
   * @param position of the event stream up to which the caller has then dealt with everything, stored with the
   * records in one step
   */
  async sync(ids: readonly string[], position = ''): Promise<void> {
    if (ids.length === 0 && position === '') return;
    const jobs = await Promise.all(ids.map((id) => this.#queue.getJob(id)));
    const args = ids.flatMap((id, index) => {
      const job = jobs[index];
      const failed = job?.finishedOn !== undefined && job.failedReason !== undefined;
      return failed ? [id, job.finishedOn!, JSON.stringify(errorRecordOf({ ...job, id }))] : [id, 0, ''];
    });
    const { errors, failed, recorder } = this.#keys;
    await this.#client.eval(SYNC_SCRIPT, 3, errors, failed, recorder, position, ...args);
  }

  /** Syncs every failed job that has no record, and every record whose job is there but not failed. */
  async reconcile(signal: AbortSignal): Promise<void> {
    for await (const ids of this.#failedIds(signal)) {
      const known = await this.#client.hmget(this.#keys.errors, ...ids);
      await this.sync(ids.filter((_, index) => known[index] === null));
    }
    if ((await this.count()) <= (await this.#client.zcard(this.#keys.failed))) return;
    for await (const records of this.#scan(signal)) {
      const ids = records.map(({ id }) => id);
      const scores = await this.#client.zmscore(this.#keys.failed, ...ids);
      const doubtful = ids.filter((_, index) => scores[index] === null);
      const jobs = await Promise.all(doubtful.map((id) => this.#queue.getJob(id)));
      await this.sync(doubtful.filter((_, index) => jobs[index] !== undefined));
    }
  }

  count(): Promise<number> {
    return this.#client.hlen(this.#keys.errors);
  }

  /** How many failed jobs there are more than records; negative where records outlive their jobs. */
  async missing(): Promise<number> {
    const [failed, recorded] = await Promise.all([this.#client.zcard(this.#keys.failed), this.count()]);
    return failed - recorded;
  }

  /**
   * Every record, page by page, the oldest failure first; at the end, also sorted, those whose job is gone. Pages are
   * small where records are large, so that memory does not grow with their number or size.
   */
  async *pages(): AsyncGenerator<StoredError[]> {
    const clearedBefore = this.#cleared;
    let seen = 0;
    let last: { id: string; score: number } | undefined;
    for (let size = 100; ;) {
      const start = await this.#rankAfter(last);
      const page = await this.#client.zrange(
        this.#keys.failed,
        start,
        String(start + size - 1),
        'WITHSCORES',
      );
      if (page.length === 0) break;
      const ids: string[] = [];
      for (let index = 0; index < page.length; index += 2) {
        const [id, score] = [page[index]!, Number(page[index + 1])];
        // Members of one score are in byte order.
        if (last?.score === score && Buffer.compare(Buffer.from(id), Buffer.from(last.id)) <= 0) continue;
        ids.push(id);
        last = { id, score };
      }
      const records = await this.#records(ids);
      seen += records.length;
      size = pageSize(records);
      if (records.length > 0) yield records;
    }
    if ((await this.count()) > seen - (this.#cleared - clearedBefore)) yield* this.#orphans();
  }

  /** Removes records that still are what was given, with their failed jobs. */
  async clear(records: readonly StoredError[]): Promise<void> {
    const { errors, failed } = this.#keys;
    const args = records.flatMap(({ id, json }) => [id, json]);
    const [removed, taken] = (await this.#client.eval(CLEAR_SCRIPT, 2, errors, failed, ...args)) as [
      number,
      string[],
    ];
    this.#cleared += removed;
    await Promise.all(taken.map((id) => this.#queue.remove(id)));
  }

  /** Where in the failed set to go on after `last`, which may have been cleared or retried in the meantime. */
  async #rankAfter(last: { id: string; score: number } | undefined): Promise<number> {
    if (last === undefined) return 0;
    const { failed } = this.#keys;
    const [rank, score] = await Promise.all([
      this.#client.zrank(failed, last.id),
      this.#client.zscore(failed, last.id),
    ]);
    if (rank !== null && Number(score) === last.score) return rank + 1;
    return this.#client.zcount(failed, '-inf', `(${last.score}`);
  }

  async #records(ids: readonly string[]): Promise<StoredError[]> {
    if (ids.length === 0) return [];
    const values = await this.#client.hmget(this.#keys.errors, ...ids);
    return ids.flatMap((id, index) =>
      typeof values[index] === 'string' ? [{ id, json: values[index] }] : [],
    );
  }

  /** Records whose job is not in the failed set, sorted by time. Only times and ids are held for all of them. */
  async *#orphans(): AsyncGenerator<StoredError[]> {
    const ids: string[] = [];
    const times: number[] = [];
    for await (const records of this.#scan()) {
      const scores = await this.#client.zmscore(this.#keys.failed, ...records.map(({ id }) => id));
      records.forEach(({ id, json }, index) => {
        if (scores[index] !== null) return;
        ids.push(id);
        times.push(failedAtOf(json));
      });
    }
    const order = Uint32Array.from(ids.keys()).sort(
      (a, b) => times[a]! - times[b]! || (ids[a]! < ids[b]! ? -1 : 1),
    );
    let previous: string | undefined;
    for (let start = 0, size = 100; start < order.length;) {
      // HSCAN may give a field twice; sorted, the two are neighbours.
      const page = [...order.subarray(start, start + size)].map((index) => ids[index]!);
      const distinct = page.filter((id, index) => id !== (index === 0 ? previous : page[index - 1]));
      previous = page.at(-1);
      start += size;
      const records = await this.#records(distinct);
      size = pageSize(records);
      if (records.length > 0) yield records;
    }
  }

  async *#failedIds(signal: AbortSignal): AsyncGenerator<string[]> {
    let cursor = '0';
    do {
      const [next, page] = await this.#client.zscan(this.#keys.failed, cursor, 'COUNT', PAGE);
      cursor = next;
      const ids = page.filter((_, index) => index % 2 === 0);
      if (ids.length > 0) yield ids;
    } while (cursor !== '0' && !signal.aborted);
  }

  async *#scan(signal?: AbortSignal): AsyncGenerator<StoredError[]> {
    let cursor = '0';
    do {
      const [next, page] = await this.#client.hscan(this.#keys.errors, cursor, 'COUNT', 100);
      cursor = next;
      const records: StoredError[] = [];
      for (let index = 0; index < page.length; index += 2) {
        records.push({ id: page[index]!, json: page[index + 1]! });
      }
      if (records.length > 0) yield records;
    } while (cursor !== '0' && signal?.aborted !== true);
  }
}

/** How many records to ask for next, so that a page holds about 2 MB. */
function pageSize(records: readonly StoredError[]): number {
  if (records.length === 0) return 100;
  const average = records.reduce((sum, { json }) => sum + json.length, 0) / records.length;
  return Math.max(1, Math.min(500, Math.floor(2_000_000 / average)));
}

/** Milliseconds since 1970; 0 where the record does not say. */
function failedAtOf(json: string): number {
  try {
    return Date.parse(String((JSON.parse(json) as Partial<ErrorRecord> | null)?.failedAt)) || 0;
  } catch {
    return 0;
  }
}
