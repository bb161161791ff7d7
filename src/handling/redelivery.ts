/*
 * Redelivery: messages in the hands of an instance that is gone go back to the queue, long before their locks run out.
 *
 * The leader does it, for every instance that has been gone without a break for two seconds: long enough for one that
 * has only lost its connection to come back. `JOB_LOCK_MS` remains the answer to instances that are there but silent;
 * it can stay long for the sake of handlers that block the event loop.
 *
 * And each instance gives back what it never heard of: when a connection breaks, Redis may have handed out a message in
 * an answer that was lost. For all others such a message is in good hands.
 */
import { type Job, type Queue, UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import type { MessageWorker } from './worker';

export interface RedeliveryOptions {
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Pick<Keys, 'lock'>;
  /** Of the given instances, those whose processes are known to have gone. */
  readonly filterDead: (instances: readonly string[]) => Promise<Set<string>>;
  readonly onStall: 'retry' | 'fail';
  readonly logger: Logger;
}

const LOOK_MS = 200;
/** How long an instance must have been gone, in milliseconds. */
const GONE_FOR_MS = 2000;

/** Redelivers until the signal aborts. Never rejects: when Redis is away it waits. */
export async function redeliver(options: RedeliveryOptions, { signal, progress }: Activity): Promise<void> {
  const { client, queue, filterDead, logger } = options;
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
        progress();
        const gone = await filterDead([...new Set(jobs.map(({ processedBy }) => processedBy!))]);
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

export interface UnheardOptions {
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Pick<Keys, 'lock'>;
  readonly instance: string;
  readonly worker: Pick<MessageWorker, 'holds' | 'renounce'>;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** How long a message must have been in nobody's hands, in milliseconds: answers may be slow. */
const UNHEARD_FOR_MS = 1000;

/** Gives back what Redis believes in this instance's hands and is not. To be called after a reconnect. */
export async function reclaimUndelivered(options: UnheardOptions): Promise<void> {
  const { client, queue, keys, instance, worker, signal, logger } = options;
  const unheard = async () => {
    const mine = (await activeJobs(queue)).filter(
      (job) => job.processedBy === instance && !worker.holds(job.id!),
    );
    const tokens = await Promise.all(mine.map((job) => lockToken(client, keys, job)));
    return new Map(mine.map((job, index) => [tokens[index], job]));
  };
  try {
    await sleep(UNHEARD_FOR_MS, signal);
    const before = await unheard();
    if (before.size === 0) return;
    await sleep(UNHEARD_FOR_MS, signal);
    if (signal.aborted) return;
    for (const [token, job] of await unheard()) {
      if (typeof token !== 'string' || !before.has(token)) continue;
      worker.renounce(token);
      // It was not handled, so that nothing speaks against handing it out, whatever ON_STALL says.
      await job.moveToWait(token);
      logger.warn('a message that was handed to this instance but never arrived goes back', { id: job.id });
    }
  } catch (error) {
    logger.debug('what never arrived could not be given back', { error: toError(error) });
  }
}

/** What shows that a lock still is the same one; null if it has run out. */
function lockToken(client: Redis, keys: Pick<Keys, 'lock'>, job: Job): Promise<string | null> {
  return client.get(keys.lock(job.id!));
}

async function giveBack(found: Job, options: RedeliveryOptions): Promise<void> {
  const { client, queue, keys, onStall, logger } = options;
  const token = await lockToken(client, keys, found);
  if (token === null) return;
  // Looked at again after the token was read, so that the token is theirs. A leader that was paused since its first look
  // may find the message given back by its successor, and in other hands.
  const job = (await queue.getJob(found.id!)) as Job | undefined;
  if (job?.processedBy !== found.processedBy || job === undefined) return;
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
