import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import { sleep, withDeadline } from '../time';
import type { ErrorLog } from './errorLog';

export interface RetrySource {
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Pick<Keys, 'failed'>;
  readonly errorLog: Pick<ErrorLog, 'sync'>;
}

export interface RetryResult {
  readonly retried: number;
  /** Ids that belong to no failed message. */
  readonly unknown: readonly string[];
  /** If Redis failed: the reason, and what was not retried. */
  readonly failure?: { readonly error: Error; readonly left: string };
}

/**
 * How long to retry while Redis fails, in milliseconds: a failover is often over by then, and commands promise to give
 * up within 5 s.
 */
const RETRY_TIMEOUT_MS = 3000;
const RETRY_INTERVAL_MS = 100;
const BATCH_SIZE = 100;

/** Requeues the given failed messages with all their attempts, and removes them from the error log. */
export async function retryErrors(source: RetrySource, ids: readonly string[]): Promise<RetryResult> {
  const unknown: string[] = [];
  let retried = 0;
  const distinct = [...new Set(ids)];
  for (const [index, id] of distinct.entries()) {
    try {
      if (await retryOne(source, id)) retried++;
      else unknown.push(id);
    } catch (error) {
      return { retried, unknown, failure: { error: toError(error), left: distinct.slice(index).join(', ') } };
    }
  }
  return { retried, unknown };
}

/** Requeues all messages that have failed so far. */
export async function retryAllErrors(source: RetrySource): Promise<RetryResult> {
  const { client, keys } = source;
  let retried = 0;
  let left: number | undefined;
  const result = () => ({ retried, unknown: [] });
  try {
    // Only as many as have failed now; otherwise a message that fails again at once would be retried again and again.
    left = await persist(() => client.zcard(keys.failed));
    while (left > 0) {
      const last = String(Math.min(left, BATCH_SIZE) - 1);
      const ids = await persist(() => client.zrange(keys.failed, 0, last));
      const results = await Promise.allSettled(ids.map((id) => retryOne(source, id)));
      const done = results.filter((each) => each.status === 'fulfilled' && each.value).length;
      retried += done;
      left -= results.filter(({ status }) => status === 'fulfilled').length;
      const refused = results.find((each) => each.status === 'rejected');
      if (refused) throw refused.reason;
      // A failed message without data cannot be retried, and would stay first forever.
      if (done === 0) break;
    }
  } catch (error) {
    const which = left === undefined ? 'the failed messages' : `${left} failed messages`;
    return { ...result(), failure: { error: toError(error), left: which } };
  }
  return result();
}

/** Returns whether there was such a failed message. A command that got no answer might have been executed. */
async function retryOne({ queue, errorLog }: RetrySource, id: string): Promise<boolean> {
  let asked = false;
  return persist(async (ended) => {
    const job = await queue.getJob(id);
    if (job === undefined) return false;
    if (!(await job.isFailed())) return asked;
    // It was reported as not retried.
    if (ended.aborted) return false;
    asked = true;
    // The count of started attempts continues: `attempt` is a fencing token (see docs/tasks.md).
    await job.retry('failed', { resetAttemptsMade: true });
    // If this fails, the error recorder removes the record.
    await errorLog.sync([id]).catch(() => undefined);
    return true;
  });
}

/**
 * Repeats a step that fails because of Redis. Rejects with the first error; a step that is still running then learns of
 * it by its signal.
 */
async function persist<T>(step: (ended: AbortSignal) => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + RETRY_TIMEOUT_MS;
  const ended = new AbortController();
  let reason: Error | undefined;
  for (;;) {
    const left = giveUpAt - performance.now();
    if (reason !== undefined && left < RETRY_INTERVAL_MS) {
      ended.abort();
      throw reason;
    }
    try {
      return await withDeadline(step(ended.signal), left, 'Redis');
    } catch (error) {
      reason ??= toError(error);
      await sleep(RETRY_INTERVAL_MS);
    }
  }
}
