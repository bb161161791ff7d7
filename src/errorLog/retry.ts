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
  /** Ids that no failed message has. */
  readonly unknown: readonly string[];
  /** If Redis failed: why, and what is still where it was. */
  readonly failure?: { readonly error: Error; readonly left: string };
}

/**
 * How long to go on while Redis fails, in milliseconds: a failover is often over by then, and commands promise to give up
 * within 5 s.
 */
const GIVE_UP_MS = 3500;
const REPEAT_MS = 100;
const BATCH_SIZE = 100;

/** Puts the given failed messages back in the queue, with all their attempts, and takes them out of the error log. */
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

/** Puts all messages that have failed until now back in the queue. */
export async function retryAllErrors(source: RetrySource): Promise<RetryResult> {
  const { client, keys } = source;
  let retried = 0;
  let left: number | undefined;
  const result = () => ({ retried, unknown: [] });
  try {
    // As many as there are now and no more: one that fails again at once would otherwise be retried again and again.
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
      // A failed message whose data is gone cannot be retried, and would stay first for ever.
      if (done === 0) break;
    }
  } catch (error) {
    const which = left === undefined ? 'the failed messages' : `${left} failed messages`;
    return { ...result(), failure: { error: toError(error), left: which } };
  }
  return result();
}

/** Whether there was such a failed message. What was asked of Redis without an answer may have been done. */
async function retryOne({ queue, errorLog }: RetrySource, id: string): Promise<boolean> {
  let asked = false;
  return persist(async () => {
    const job = await queue.getJob(id);
    if (job === undefined) return false;
    if (!(await job.isFailed())) return asked;
    asked = true;
    // Attempts that have started are counted on: `attempt` is a fencing token (see docs/tasks.md).
    await job.retry('failed', { resetAttemptsMade: true });
    // Without it, the error recorder removes the record.
    await errorLog.sync([id]).catch(() => undefined);
    return true;
  });
}

/** Repeats a step that fails because of Redis. Rejects with what went wrong first. */
async function persist<T>(step: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + GIVE_UP_MS;
  let reason: Error | undefined;
  for (;;) {
    const left = giveUpAt - performance.now();
    if (reason !== undefined && left < REPEAT_MS) throw reason;
    try {
      return await withDeadline(step(), left, 'Redis');
    } catch (error) {
      reason ??= toError(error);
      await sleep(REPEAT_MS);
    }
  }
}
