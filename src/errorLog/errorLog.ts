/*
 * The error log: the hash of error records, kept consistent with BullMQ's failed set.
 *
 * There is one operation, `sync`: in one script, check whether the job is in the failed set now, and write or remove
 * its record accordingly. It does not matter what happened to the job in the meantime, or how often and in which order
 * it is synced. Every event about a job is only a hint to sync it, and reconciling means syncing everything that looks
 * inconsistent.
 *
 * A failure is recognized by its place in the failed set, never by its text, because BullMQ drops an empty text.
 */
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import { errorPages, BATCH_CHARS, type ErrorOrder, type StoredError } from './pages';
import { type ErrorRecord, errorRecordOf, type FailedJob, parseErrorRecord, RECORD_FIELDS } from './record';

/** Number of ids examined in one round trip. */
const PAGE_SIZE = 500;
/** Number of events that an audit reads. */
const MAX_AUDITED_EVENTS = 2000;

const SYNC = loadScript(__dirname, 'sync');
const CLEAR = loadScript(__dirname, 'clear');
const PRUNE = loadScript(__dirname, 'prune');
const AUDIT = loadScript(__dirname, 'audit');
const UNRECORDED = loadScript(__dirname, 'unrecorded');
const UNMATCHED = loadScript(__dirname, 'unmatched');

export interface Audit {
  /** Id of the newest event; `0-0` if there is none. */
  readonly lastEvent: string;
  /** Failed jobs less records, not counting pending events; undefined if it cannot be known now. */
  readonly difference: number | undefined;
}

export class ErrorLog {
  readonly #client: Redis;
  readonly #queue: Pick<Queue, 'remove'>;
  readonly #keys: Keys;

  /** @param queue removes jobs */
  constructor(client: Redis, queue: Pick<Queue, 'remove'>, keys: Keys) {
    this.#client = client;
    this.#queue = queue;
    this.#keys = keys;
  }

  /**
   * Makes the records of these jobs match the failed set.
   *
   * @param position position in the event stream up to which the caller has then processed everything; stored with the
   * records in one step
   */
  async sync(ids: readonly string[], position = ''): Promise<void> {
    if (ids.length === 0 && position === '') return;
    const jobs = await this.#readJobs(ids);
    const { errors, failed, recorder } = this.#keys;
    let args: (string | number)[] = [];
    let size = 0;
    for (const [index, id] of ids.entries()) {
      const job = jobs[index]!;
      const finishedOn = Number(job.finishedOn ?? NaN);
      const record = Number.isFinite(finishedOn) ? JSON.stringify(errorRecordOf(id, job)) : '';
      args.push(id, record === '' ? 0 : finishedOn, record);
      size += record.length;
      // Large records are written in several batches; the position is written with the last one.
      if (size < BATCH_CHARS || index === ids.length - 1) continue;
      await this.#client.eval(SYNC, 3, errors, failed, recorder, '', ...args);
      [args, size] = [[], 0];
    }
    await this.#client.eval(SYNC, 3, errors, failed, recorder, position, ...args);
  }

  async #readJobs(ids: readonly string[]): Promise<FailedJob[]> {
    if (ids.length === 0) return [];
    const pipeline = this.#client.pipeline();
    for (const id of ids) pipeline.hmget(this.#keys.job(id), ...RECORD_FIELDS);
    const replies = (await pipeline.exec()) ?? [];
    return replies.map(([error, values]) => {
      if (error) throw error;
      const fields = RECORD_FIELDS.map((field, index) => [field, (values as (string | null)[])[index]]);
      return Object.fromEntries(fields) as FailedJob;
    });
  }

  /**
   * Compares the failed set with the records, without reading each one.
   *
   * @param position id of the last processed event
   */
  async audit(position: string): Promise<Audit> {
    const { events, failed, errors } = this.#keys;
    const reply = await this.#client.eval(AUDIT, 3, events, failed, errors, position, MAX_AUDITED_EVENTS);
    const [lastEvent, difference] = reply as [string, string];
    return { lastEvent, difference: difference === '' ? undefined : Number(difference) };
  }

  /**
   * Syncs every failed job that has no record, and every record whose job exists but has not failed.
   *
   * @param progress called after each reply of Redis
   */
  async reconcile(signal: AbortSignal, progress: () => void = () => undefined): Promise<void> {
    for await (const ids of this.#scan(UNRECORDED, signal)) {
      await this.sync(ids);
      progress();
    }
    for await (const ids of this.#scan(UNMATCHED, signal)) {
      const jobs = await this.#readJobs(ids);
      await this.sync(ids.filter((_, index) => jobs[index]!.name !== null));
      progress();
    }
  }

  /** Removes the records of jobs that were removed in bulk; the event for that does not name the jobs. */
  async pruneRemoved(signal: AbortSignal, progress: () => void = () => undefined): Promise<void> {
    const { errors, failed, jobCounter } = this.#keys;
    for await (const ids of this.#scan(UNMATCHED, signal)) {
      const keys = [errors, failed, jobCounter, ...ids.map((id) => this.#keys.job(id))];
      if (ids.length > 0) await this.#client.eval(PRUNE, keys.length, ...keys, ...ids);
      progress();
    }
  }

  count(): Promise<number> {
    return this.#client.hlen(this.#keys.errors);
  }

  /** Yields every record: see errorPages. */
  pages(order: ErrorOrder = 'oldestFirst'): AsyncGenerator<StoredError[]> {
    return errorPages(this.#client, this.#keys, order);
  }

  /** Yields every valid record, oldest first; data in Redis is untrusted. */
  async *records(): AsyncGenerator<ErrorRecord, void, undefined> {
    for await (const page of this.pages()) {
      for (const { json } of page) {
        const record = parseErrorRecord(json);
        if (record !== undefined) yield record;
      }
    }
  }

  /** Returns the record of one job; undefined if there is none. */
  async read(id: string): Promise<StoredError | undefined> {
    const json = await this.#client.hget(this.#keys.errors, id);
    return json === null ? undefined : { id, json };
  }

  /** Removes the records that are still as given, together with their failed jobs. */
  async clear(records: readonly StoredError[]): Promise<void> {
    if (records.length === 0) return;
    const { errors, failed, recorder } = this.#keys;
    const args = records.flatMap(({ id, json }) => [id, json]);
    const taken = (await this.#client.eval(CLEAR, 3, errors, failed, recorder, ...args)) as string[];
    await Promise.all(taken.map((id) => this.#queue.remove(id)));
  }

  /** Yields pages of ids from the script; some are empty. As with every SCAN, an id can occur twice. */
  async *#scan(script: string, signal: AbortSignal): AsyncGenerator<string[]> {
    const { failed, errors } = this.#keys;
    let cursor = '0';
    do {
      const reply = await this.#client.eval(script, 2, failed, errors, cursor, PAGE_SIZE);
      const [next, ids] = reply as [string, string[]];
      cursor = next;
      yield ids;
    } while (cursor !== '0' && !signal.aborted);
  }
}
