/*
 * Redelivery: messages in the hands of an instance that is gone go back to the queue, long before their locks run out.
 *
 * The leader does it, for every instance that has been gone without a break for two seconds: long enough for one that
 * has only lost its connection to come back. `JOB_LOCK_MS` remains the answer to instances that are there but silent;
 * it can stay long for the sake of handlers that block the event loop.
 */
import { type Job, type Queue, UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Logger } from '../logger';
import { sleep } from '../time';

export interface RedeliveryOptions {
  readonly client: Redis;
  readonly queue: Queue;
  /** Of the given instances, those whose processes are known to have gone. */
  readonly goneAmong: (instances: readonly string[]) => Promise<Set<string>>;
  readonly onStall: 'retry' | 'fail';
  /** Redelivery ends when it aborts. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

const LOOK_MS = 300;
/** How long an instance must have been gone, in milliseconds. */
const GONE_FOR_MS = 2000;

/** Redelivers until the signal aborts. Never rejects: when Redis is away it waits. */
export async function redeliver(options: RedeliveryOptions): Promise<void> {
  const { client, queue, goneAmong, signal, logger } = options;
  let goneSince = new Map<string, number>();
  // On a new connection nothing is known of who was there before.
  const forget = () => goneSince.clear();
  client.on('close', forget);
  try {
    while (!signal.aborted) {
      await sleep(LOOK_MS, signal);
      if (signal.aborted) return;
      try {
        const jobs = await activeJobs(queue);
        const gone = await goneAmong([...new Set(jobs.map(({ processedBy }) => processedBy!))]);
        const now = performance.now();
        goneSince = new Map([...gone].map((instance) => [instance, goneSince.get(instance) ?? now]));
        for (const job of jobs) {
          const since = goneSince.get(job.processedBy!);
          if (since !== undefined && now - since >= GONE_FOR_MS) await giveBack(job, options);
        }
      } catch (error) {
        goneSince.clear();
        logger.debug('redelivery was interrupted', { error: toError(error) });
      }
    }
  } finally {
    client.off('close', forget);
  }
}

/** Jobs in the hands of a named instance. */
async function activeJobs(queue: Queue): Promise<Job[]> {
  const jobs = (await queue.getJobs(['active'])) as (Job | undefined)[];
  return jobs.filter((job): job is Job => job?.processedBy !== undefined);
}

async function giveBack(job: Job, { client, queue, onStall, logger }: RedeliveryOptions): Promise<void> {
  // Its token is what shows that the lock is still the one of the instance that is gone.
  const token = await client.get(`${queue.toKey(job.id!)}:lock`);
  if (token === null) return;
  const fields = { id: job.id, from: job.processedBy };
  try {
    if (onStall === 'retry') {
      await job.moveToWait(token);
      logger.warn('a message in the hands of an instance that is gone is handed out again', fields);
    } else {
      // Unrecoverable, or ATTEMPTS would hand it out again.
      await job.moveToFailed(new UnrecoverableError('the instance that handled it is gone'), token);
      logger.warn('a message in the hands of an instance that is gone has failed', fields);
    }
  } catch (error) {
    // Finished, or given back by another leader, in this very moment.
    logger.debug('a message was not given back', { ...fields, error: toError(error) });
  }
}
