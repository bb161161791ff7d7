import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { ErrorLog } from './errorLog';

export interface RetrySource {
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Pick<Keys, 'failed'>;
  readonly errorLog: Pick<ErrorLog, 'sync'>;
}

export interface RetryResult {
  readonly retried: number;
  /** Ids of which no failed message exists. */
  readonly unknown: readonly string[];
}

/** Requeues the given failed messages, with ATTEMPTS tries each, and removes them from the error log. */
export async function retryErrors(source: RetrySource, ids: readonly string[]): Promise<RetryResult> {
  const unknown: string[] = [];
  let retried = 0;
  for (const id of new Set(ids)) {
    if (await retryOne(source, id)) retried++;
    else unknown.push(id);
  }
  return { retried, unknown };
}

/** Puts all messages that have failed until now back in the queue. */
export async function retryAllErrors(source: RetrySource): Promise<RetryResult> {
  const { client, keys } = source;
  let retried = 0;
  // As many as there are now and no more: one that fails again at once would otherwise go round and round.
  for (let left = await client.zcard(keys.failed); left > 0;) {
    const ids = await client.zrange(keys.failed, 0, String(Math.min(left, 100) - 1));
    if (ids.length === 0) break;
    const results = await Promise.all(ids.map((id) => retryOne(source, id)));
    const done = results.filter(Boolean).length;
    // A failed message whose data is gone can not be retried, and would stay first for ever.
    if (done === 0) break;
    retried += done;
    left -= ids.length;
  }
  return { retried, unknown: [] };
}

async function retryOne({ queue, errorLog }: RetrySource, id: string): Promise<boolean> {
  const job = await queue.getJob(id);
  if (job === undefined || !(await job.isFailed())) return false;
  try {
    // Attempts started are kept: they are the fencing token that `handle` gets as `attempt`, which never goes back.
    await job.retry('failed', { resetAttemptsMade: true });
  } catch {
    // Retried or removed by somebody else in this very moment.
    return false;
  }
  await errorLog.sync([id]);
  return true;
}
