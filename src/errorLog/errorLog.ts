/*
 * The error log: the hash of error records, kept true to BullMQ's failed set.
 *
 * There is one operation, `sync`: look whether the job is in the failed set now, and write or remove its record
 * accordingly, in one script. What happened to the job in the meantime does not matter, nor how often or in which
 * order it is synced. Every event about a job is only a hint to sync it, and reconciling is syncing whatever looks
 * amiss.
 *
 * A failure is recognized by its place in the failed set, never by its text: BullMQ drops an empty one.
 */
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import { errorPages, BATCH_CHARS, type ErrorOrder, type StoredError } from './pages';
import { type ErrorRecord, errorRecordOf, type FailedJob, parseErrorRecord, RECORD_FIELDS } from './record';

/** Ids examined in one round trip. */
const PAGE_SIZE = 500;
/** Events that an audit looks at. */
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
  /** Failed jobs less records, without those under way; undefined if it cannot be known now. */
  readonly difference: number | undefined;
}

export class ErrorLog {
  readonly #client: Redis;
  readonly #queue: Pick<Queue, 'remove'>;
  readonly #keys: Keys;

  /** @param queue for removing jobs */
  constructor(client: Redis, queue: Pick<Queue, 'remove'>, keys: Keys) {
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
      // Large records are written in several batches; the position comes with the last one, when all are written.
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
   * Compares the failed set with the records, without looking at each.
   *
   * @param position id of the last event that was dealt with
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
   * @param progress called whenever Redis has answered
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

  /** Removes the records of jobs that were removed in bulk: that event does not name the jobs. */
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

  /** Every record: see errorPages. */
  pages(order: ErrorOrder = 'oldestFirst'): AsyncGenerator<StoredError[]> {
    return errorPages(this.#client, this.#keys, order);
  }

  /** Every record, the oldest first, without what is no record: data in Redis is untrusted. */
  async *records(): AsyncGenerator<ErrorRecord, void, undefined> {
    for await (const page of this.pages()) {
      for (const { json } of page) {
        const record = parseErrorRecord(json);
        if (record !== undefined) yield record;
      }
    }
  }

  /** The record of one job; undefined if there is none. */
  async read(id: string): Promise<StoredError | undefined> {
    const json = await this.#client.hget(this.#keys.errors, id);
    return json === null ? undefined : { id, json };
  }

  /** Removes records that still are what was given, with their failed jobs. */
  async clear(records: readonly StoredError[]): Promise<void> {
    if (records.length === 0) return;
    const { errors, failed, recorder } = this.#keys;
    const args = records.flatMap(({ id, json }) => [id, json]);
    const taken = (await this.#client.eval(CLEAR, 3, errors, failed, recorder, ...args)) as string[];
    await Promise.all(taken.map((id) => this.#queue.remove(id)));
  }

  /** Pages of ids, some of them empty, as the script finds them. An id can occur twice, as with every SCAN. */
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
