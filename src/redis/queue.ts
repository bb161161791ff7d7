import { type JobsOptions, Queue, type Telemetry } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Config } from '../configuration/config';
import { type Keys, QUEUE_NAME } from '../keys';

/**
 * Opens the BullMQ queue on a connection that the caller closes. Writes nothing to Redis.
 *
 * @param telemetry traces the queue's operations
 */
export function openQueue(connection: Redis, keys: Pick<Keys, 'queuePrefix'>, telemetry?: Telemetry): Queue {
  const queue = new Queue(QUEUE_NAME, {
    connection,
    prefix: keys.queuePrefix,
    skipMetasUpdate: true,
    ...(telemetry && { telemetry }),
  });
  // The connection's owner reports its errors. Without a listener here they would end the process.
  queue.on('error', () => undefined);
  return queue;
}

/**
 * Returns how BullMQ treats each message. What can be an option of the worker is not set here, because job options are
 * stored with each job.
 */
export function jobOptions(config: Pick<Config, 'attempts' | 'backoffMs'>): JobsOptions {
  if (config.attempts === 1) return {};
  return { attempts: config.attempts, backoff: { type: 'exponential', delay: config.backoffMs } };
}
