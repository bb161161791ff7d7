import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { ErrorLog } from '../errorLog/errorLog';
import type { StoredError } from '../errorLog/pages';
import { parseErrorRecord } from '../errorLog/record';
import { newestErrors, type NewestError } from '../errorLog/newest';
import { retryAllErrors, retryErrors } from '../errorLog/retry';
import { cut, errorChain } from './errorChain';
import type { LiveError, LiveErrors, LiveGroup, ShownError } from './live';

export interface GroupErrorsOptions {
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Keys;
  readonly errorLog: ErrorLog;
}

/** Errors shown, and bytes of a record that is read for it. */
const SHOWN = 20;
const LONGEST_RECORD = 64 * 1024;
/** Bytes of a record that is read to be shown in full, and characters shown of its message's data. */
const LONGEST_DETAILS = 1024 * 1024;
const LONGEST_DATA = 4000;
/** Characters shown of an error's text, and of a message's data. */
const LONGEST = { text: 600, data: 300, name: 200 };
/** How long what was read is good while nothing seems to have changed, in milliseconds. */
const GOOD_FOR_MS = 10_000;

/** The errors of the group: the newest of them to be looked at, and what can be done with them. */
export class GroupErrors {
  readonly #options: GroupErrorsOptions;
  #read: { key: string; at: number; errors: LiveErrors } | undefined;

  constructor(options: GroupErrorsOptions) {
    this.#options = options;
  }

  /** Records are read again when something has changed: they may be large. */
  async read(): Promise<LiveErrors> {
    const { client, keys } = this.#options;
    const [total, newest] = await Promise.all([
      client.hlen(keys.errors),
      client.zrange(keys.failed, '0', String(SHOWN - 1), 'REV', 'WITHSCORES'),
    ]);
    const key = [total, ...newest].join(' ');
    const known = this.#read;
    if (known?.key === key && performance.now() - known.at < GOOD_FOR_MS) return known.errors;
    const found = await newestErrors(client, keys, SHOWN, LONGEST_RECORD);
    const errors = {
      total,
      newest: found.map(toLiveError).sort(byTime),
    };
    // A job that failed just now may not have its record yet: then it is looked for again.
    const complete = found.length === Math.min(SHOWN, total);
    this.#read = complete ? { key, at: performance.now(), errors } : undefined;
    return errors;
  }

  retry: LiveGroup['retry'] = async (which) => {
    const { retried, unknown, failure } =
      which === 'all'
        ? await retryAllErrors(this.#options)
        : await retryErrors(
            this.#options,
            which.map(({ id }) => id),
          );
    this.#read = undefined;
    if (failure) throw failure.error;
    return { done: retried, left: unknown };
  };

  clear: LiveGroup['clear'] = async (which) => {
    const result = which === 'all' ? await this.#clearAll() : await this.#clearThese(which);
    this.#read = undefined;
    return result;
  };

  details: LiveGroup['details'] = async (id) => {
    const { client, keys } = this.#options;
    const size = await client.hstrlen(keys.errors, id);
    if (size === 0) return undefined;
    const nothing = { failedAt: '', chain: [], data: '' };
    if (size > LONGEST_DETAILS)
      return { ...nothing, note: 'The record is too large to be shown here: getErrors prints it.' };
    const record = parseErrorRecord((await client.hget(keys.errors, id)) ?? '');
    if (record === undefined)
      return { ...nothing, note: 'This is not an error record: getErrors prints it.' };
    return {
      failedAt: record.failedAt,
      chain: errorChain(record.error),
      data: cut(JSON.stringify(record.message, undefined, 2) ?? '', LONGEST_DATA),
      note: '',
    };
  };

  /** As many as there are now and no more: those that fail from now on come last. */
  async #clearAll() {
    const { errorLog } = this.#options;
    let done = 0;
    let left = await errorLog.count();
    for await (const page of errorLog.pages()) {
      const records = page.slice(0, left);
      await errorLog.clear(records);
      done += records.length;
      left -= records.length;
      if (left <= 0) break;
    }
    return { done, left: [] };
  }

  /** What has failed again since it was shown is another error, which nobody has seen yet. */
  async #clearThese(which: readonly ShownError[]) {
    const { client, keys, errorLog } = this.#options;
    const records: StoredError[] = [];
    const left: string[] = [];
    for (const { id, failedAt } of which) {
      const json = await client.hget(keys.errors, id);
      if (json !== null && (parseErrorRecord(json)?.failedAt ?? '') === failedAt) records.push({ id, json });
      else left.push(id);
    }
    if (records.length > 0) await errorLog.clear(records);
    return { done: records.length, left };
  }
}

/** The newest first. Those of the same millisecond stay in the order of the failed set. */
function byTime(a: LiveError, b: LiveError): number {
  return a.failedAt === b.failedAt ? 0 : a.failedAt < b.failedAt ? 1 : -1;
}

/** Anybody can write into Redis: nothing is taken for what it should be. */
function toLiveError({ id, failedAt, json }: NewestError): LiveError {
  const retriable = failedAt !== undefined;
  const record = json === undefined ? undefined : parseErrorRecord(json);
  if (json === undefined || record === undefined) {
    const text =
      json === undefined
        ? 'the record is too large to be shown here: getErrors prints it'
        : `not readable: ${json}`;
    const at = json === undefined && retriable ? new Date(failedAt).toISOString() : '';
    return {
      id,
      failedAt: at,
      name: '',
      text: cut(text, LONGEST.text),
      data: '',
      attempts: 0,
      instance: '',
      retriable,
    };
  }
  return {
    id,
    failedAt: record.failedAt,
    name: cut(record.error.name, LONGEST.name),
    text: cut(record.error.message, LONGEST.text),
    data: cut(JSON.stringify(record.message) ?? '', LONGEST.data),
    attempts: record.attempts,
    instance: cut(record.instance, LONGEST.name),
    retriable,
  };
}
