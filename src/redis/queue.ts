import { type JobsOptions, Queue, type Telemetry } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Config } from '../config';
import { type Keys, QUEUE_NAME } from '../keys';

/** Name of every job of a task without named sources. */
export const JOB_NAME = 'message';

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

/** BullMQ's options for each message. */
export function jobOptions(config: Pick<Config, 'attempts' | 'backoffMs' | 'keepCompleted'>): JobsOptions {
  return {
    ...(config.attempts > 1 && {
      attempts: config.attempts,
      backoff: { type: 'exponential', delay: config.backoffMs },
    }),
    removeOnComplete: { count: config.keepCompleted },
    // Failed jobs stay until they are retried or cleared: the error log is reconciled with them.
    removeOnFail: false,
    stackTraceLimit: 5,
  };
}
