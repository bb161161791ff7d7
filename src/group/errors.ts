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

/** Number of errors shown, and maximum length of a record that is read for the list, in bytes. */
const MAX_SHOWN = 20;
const MAX_RECORD_BYTES = 64 * 1024;
/** Maximum length of a record that is read for its details, in bytes, and of its message's data, in characters. */
const MAX_DETAILS_BYTES = 1024 * 1024;
const MAX_DATA_CHARS = 4000;
/** Maximum length of an error's text, a message's data and a name in the list, in characters. */
const MAX_CHARS = { text: 600, data: 300, name: 200 };
/** How long the last read stays valid while nothing seems to have changed, in milliseconds. */
const MAX_AGE_MS = 10_000;

/** The errors of the group: lists the newest ones, and retries or clears errors. */
export class GroupErrors {
  readonly #options: GroupErrorsOptions;
  #read: { key: string; at: number; errors: LiveErrors } | undefined;

  constructor(options: GroupErrorsOptions) {
    this.#options = options;
  }

  /** Records are read again only when something has changed, because they can be large. */
  async read(): Promise<LiveErrors> {
    const { client, keys } = this.#options;
    const [total, newest] = await Promise.all([
      client.hlen(keys.errors),
      client.zrange(keys.failed, '0', String(MAX_SHOWN - 1), 'REV', 'WITHSCORES'),
    ]);
    const key = [total, ...newest].join(' ');
    const known = this.#read;
    if (known?.key === key && performance.now() - known.at < MAX_AGE_MS) return known.errors;
    const found = await newestErrors(client, keys, MAX_SHOWN, MAX_RECORD_BYTES);
    const errors = {
      total,
      newest: found.map(toLiveError).sort(byTime),
    };
    // A job that has just failed might not have its record yet; then it is read again.
    const complete = found.length === Math.min(MAX_SHOWN, total);
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
    if (size > MAX_DETAILS_BYTES)
      return { ...nothing, note: 'The record is too large to show here; use getErrors to print it.' };
    const record = parseErrorRecord((await client.hget(keys.errors, id)) ?? '');
    if (record === undefined)
      return { ...nothing, note: 'This is not a valid error record; use getErrors to print it.' };
    return {
      failedAt: record.failedAt,
      chain: errorChain(record.error),
      data: cut(JSON.stringify(record.message, undefined, 2) ?? '', MAX_DATA_CHARS),
      note: '',
    };
  };

  /** Clears only as many as exist now; new failures come last. */
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

  /** A message that has failed again since it was shown has a new error, which the user has not seen yet. */
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

/** Sorts newest first. Errors of the same millisecond stay in the order of the failed set. */
function byTime(a: LiveError, b: LiveError): number {
  return a.failedAt === b.failedAt ? 0 : a.failedAt < b.failedAt ? 1 : -1;
}

/** Data in Redis is untrusted, so every field is checked. */
function toLiveError({ id, failedAt, json }: NewestError): LiveError {
  const retriable = failedAt !== undefined;
  const record = json === undefined ? undefined : parseErrorRecord(json);
  if (json === undefined || record === undefined) {
    const text =
      json === undefined
        ? 'the record is too large to show here; use getErrors to print it'
        : `not readable: ${json}`;
    const at = json === undefined && retriable ? new Date(failedAt).toISOString() : '';
    return {
      id,
      failedAt: at,
      name: '',
      text: cut(text, MAX_CHARS.text),
      data: '',
      attempts: 0,
      instance: '',
      retriable,
    };
  }
  return {
    id,
    failedAt: record.failedAt,
    name: cut(record.error.name, MAX_CHARS.name),
    text: cut(record.error.message, MAX_CHARS.text),
    data: cut(JSON.stringify(record.message) ?? '', MAX_CHARS.data),
    attempts: record.attempts,
    instance: cut(record.instance, MAX_CHARS.name),
    retriable,
  };
}
