/*
 * Redelivery: the keeper requeues the active messages of dead instances, for the whole group, long before the locks of
 * the messages expire.
 *
 * `JOB_LOCK_MS` still covers instances that are alive but silent; it can stay long to allow handlers that block the
 * event loop.
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
  /** Returns the dead ones among the given instances. */
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
        const instances = await holders(client, keys);
        const deliveries = new Map<string, Delivery[]>();
        for (const instance of await filterDead(instances))
          deliveries.set(instance, await deliveriesTo(instance, client, keys));
        // Check again after the tokens were read: an instance that has returned since the first check might have received
        // the same message again, under the token that was just read.
        const dead = deliveries.size > 0 ? await filterDead(instances) : [];
        for (const instance of dead) {
          for (const delivery of deliveries.get(instance) ?? []) {
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
      logger.warn('redelivering a message of a dead instance', fields);
    } else {
      const job = await queue.getJob(delivery.id);
      // Unrecoverable; otherwise ATTEMPTS would retry it.
      const error = new UnrecoverableError('the instance that handled it is dead');
      await job?.moveToFailed(error, delivery.token);
      logger.warn('a message of a dead instance has failed', fields);
    }
  } catch (error) {
    // It was finished, or redelivered by another keeper, in the meantime.
    logger.debug('a message could not be redelivered', { ...fields, error: toError(error) });
  }
}
