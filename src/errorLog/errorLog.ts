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
import { loadScript } from '../redis/scripts';
import { errorPages, PORTION, scanErrors, type StoredError } from './pages';
import { errorRecordOf } from './record';

/** Ids looked at in one round trip. */
const PAGE = 500;

const SYNC = loadScript(__dirname, 'sync');
const CLEAR = loadScript(__dirname, 'clear');
const PRUNE = loadScript(__dirname, 'prune');

export class ErrorLog {
  readonly #client: Redis;
  readonly #queue: Queue;
  readonly #keys: Keys;

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
    const { errors, failed, recorder } = this.#keys;
    let args: (string | number)[] = [];
    let size = 0;
    for (const [index, id] of ids.entries()) {
      const job = jobs[index];
      const hasFailed = job?.finishedOn !== undefined && job.failedReason !== undefined;
      const record = hasFailed ? JSON.stringify(errorRecordOf({ ...job, id })) : '';
      args.push(id, hasFailed ? job.finishedOn! : 0, record);
      size += record.length;
      // Large records go in portions; the position comes with the last, when all are there.
      if (size < PORTION || index === ids.length - 1) continue;
      await this.#client.eval(SYNC, 3, errors, failed, recorder, '', ...args);
      [args, size] = [[], 0];
    }
    await this.#client.eval(SYNC, 3, errors, failed, recorder, position, ...args);
  }

  /** Syncs every failed job that has no record, and every record whose job is there but not failed. */
  async reconcile(signal: AbortSignal): Promise<void> {
    for await (const ids of this.#failedIds(signal)) {
      const known = await this.#client.hmget(this.#keys.errors, ...ids);
      await this.sync(ids.filter((_, index) => known[index] === null));
    }
    if ((await this.count()) <= (await this.#client.zcard(this.#keys.failed))) return;
    for await (const records of scanErrors(this.#client, this.#keys, signal)) {
      const ids = records.map(({ id }) => id);
      const scores = await this.#client.zmscore(this.#keys.failed, ...ids);
      const doubtful = ids.filter((_, index) => scores[index] === null);
      const jobs = await Promise.all(doubtful.map((id) => this.#queue.getJob(id)));
      await this.sync(doubtful.filter((_, index) => jobs[index] !== undefined));
    }
  }

  /**
   * Removes the records of jobs that were removed many at a time. Of those no event tells which they were, only that it
   * happened.
   */
  async forgetRemoved(signal: AbortSignal): Promise<void> {
    const { errors, failed, jobCounter } = this.#keys;
    for await (const records of scanErrors(this.#client, this.#keys, signal)) {
      const ids = records.map(({ id }) => id);
      const scores = await this.#client.zmscore(failed, ...ids);
      const doubtful = ids.filter((_, index) => scores[index] === null);
      if (doubtful.length === 0) continue;
      const keys = [errors, failed, jobCounter, ...doubtful.map((id) => this.#keys.job(id))];
      await this.#client.eval(PRUNE, keys.length, ...keys, ...doubtful);
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

  /** Every record: see errorPages. */
  pages(): AsyncGenerator<StoredError[]> {
    return errorPages(this.#client, this.#keys);
  }

  /** Removes records that still are what was given, with their failed jobs. */
  async clear(records: readonly StoredError[]): Promise<void> {
    const { errors, failed } = this.#keys;
    const args = records.flatMap(({ id, json }) => [id, json]);
    const taken = (await this.#client.eval(CLEAR, 2, errors, failed, ...args)) as string[];
    await Promise.all(taken.map((id) => this.#queue.remove(id)));
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
}
