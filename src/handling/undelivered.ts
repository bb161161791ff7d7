/*
 * When a connection breaks, Redis might have delivered a message in a reply that was lost. To all other instances such
 * a message looks active here. Each instance requeues its own lost messages.
 */
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import { deliveriesTo, type Delivery, requeue } from './deliveries';
import type { MessageWorker } from './worker';

export interface UndeliveredOptions {
  /** The worker's connection. */
  readonly connection: Redis;
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Pick<Keys, 'active' | 'job'>;
  readonly instance: string;
  readonly worker: Pick<MessageWorker, 'isActive' | 'rejectDelivery'>;
  readonly logger: Logger;
}

/** Interval between two checks. A message that is missing here in both was lost: no reply is delayed for that long. */
const CHECK_INTERVAL_MS = 1000;

/**
 * After each reconnect, requeues the messages that Redis considers active here but that never arrived. Runs until the
 * signal aborts. A failed check is repeated until it succeeds.
 */
export function reclaimUndelivered(options: UndeliveredOptions): (activity: Activity) => Promise<void> {
  const { connection, logger } = options;
  let isDue = false;
  let suspects = new Set<string>();
  return async ({ signal, progress }) => {
    const onReady = () => {
      isDue = true;
    };
    connection.on('ready', onReady);
    try {
      while (!signal.aborted) {
        await sleep(CHECK_INTERVAL_MS, signal);
        if (signal.aborted) return;
        try {
          if (isDue || suspects.size > 0) {
            isDue = false;
            suspects = await check(suspects, options);
          }
          progress();
        } catch (error) {
          isDue = true;
          logger.debug('messages that never arrived could not be reclaimed', { error: toError(error) });
        }
      }
    } finally {
      connection.off('ready', onReady);
    }
  };
}

/** Requeues the suspects that are still missing. Returns the messages that are missing for the first time. */
async function check(suspects: ReadonlySet<string>, options: UndeliveredOptions): Promise<Set<string>> {
  const { client, queue, keys, instance, worker, logger } = options;
  const missing = (await deliveriesTo(instance, client, keys)).filter(({ id }) => !worker.isActive(id));
  for (const delivery of missing) {
    if (!suspects.has(nameOf(delivery)) || worker.isActive(delivery.id)) continue;
    worker.rejectDelivery(delivery.id, delivery.attempt);
    // Its handler never ran, so it is redelivered regardless of ON_STALL.
    await requeue(queue, delivery);
    logger.warn('requeued a message that was delivered to this instance but never arrived', {
      id: delivery.id,
    });
  }
  return new Set(missing.map(nameOf).filter((name) => !suspects.has(name)));
}

const nameOf = ({ id, attempt, token }: Delivery) => `${id} ${attempt} ${token}`;
