/*
 * Redelivery: messages in the hands of an instance that is dead are requeued, long before their locks expire.
 *
 * The keeper does it, for all. `JOB_LOCK_MS` remains the answer to instances that are alive but silent; it can stay long
 * for the sake of handlers that block the event loop.
 */
import { type Queue, UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import { deliveriesTo, type Delivery, holders, requeue } from './deliveries';

export interface RedeliveryOptions {
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Pick<Keys, 'active' | 'job'>;
  /** Of the given instances, those that are dead. */
  readonly filterDead: (instances: readonly string[]) => Promise<Set<string>>;
  readonly onStall: 'retry' | 'fail';
  readonly logger: Logger;
}

const POLL_INTERVAL_MS = 200;

/** Redelivers until the signal aborts. Never rejects: it continues once Redis answers again. */
export function redelivery(options: RedeliveryOptions): (activity: Activity) => Promise<void> {
  const { client, keys, filterDead, logger } = options;
  return async ({ signal, progress }) => {
    while (!signal.aborted) {
      try {
        for (const instance of await filterDead(await holders(client, keys))) {
          const deliveries = await deliveriesTo(instance, client, keys);
          // The verdict comes after the tokens were read: an instance that has come back since the first verdict may have
          // been handed the same message again, under the token that was just read.
          if (!(await filterDead([instance])).has(instance)) continue;
          for (const delivery of deliveries) {
            if (signal.aborted) return;
            await redeliver(delivery, instance, options);
          }
        }
        progress();
      } catch (error) {
        logger.debug('redelivery was interrupted', { error: toError(error) });
      }
      await sleep(POLL_INTERVAL_MS, signal);
    }
  };
}

async function redeliver(delivery: Delivery, instance: string, options: RedeliveryOptions): Promise<void> {
  const { queue, onStall, logger } = options;
  const fields = { id: delivery.id, from: instance };
  try {
    if (onStall === 'retry') {
      await requeue(queue, delivery);
      logger.warn('redelivering a message of an instance that is gone', fields);
    } else {
      const job = await queue.getJob(delivery.id);
      // Unrecoverable, or ATTEMPTS would retry it.
      const error = new UnrecoverableError('the instance that handled it is gone');
      await job?.moveToFailed(error, delivery.token);
      logger.warn('a message of an instance that is gone has failed', fields);
    }
  } catch (error) {
    // It was finished, or redelivered by another keeper, at this very moment.
    logger.debug('a message was not redelivered', { ...fields, error: toError(error) });
  }
}
