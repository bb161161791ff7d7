import { type BackendFactory, type Job, type RedisQueueBackend, type Telemetry, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Config } from '../configuration/config';
import { type Keys, QUEUE_NAME } from '../keys';
import { MAX_BLOCK_S } from './persistentBackend';

/** BullMQ's worker, with a way to abandon it without waiting. */
export class BullWorker extends Worker {
  /**
   * Ends its timers and its blocking connection, whatever is still active: a handler that never ends must not keep the
   * process alive, and close() would wait for it.
   */
  abandon(): void {
    void this.close(true).catch(() => undefined);
    void this.lockManager.close();
    // Private only in BullMQ's types. It ends the pause between two checks for stalled messages.
    (this['stalledCheckStopper'] as (() => void) | undefined)?.();
    void this.backend.close(true).catch(() => undefined);
  }
}

export interface BullWorkerOptions {
  readonly connection: Redis;
  readonly keys: Pick<Keys, 'queuePrefix'>;
  readonly instance: string;
  readonly config: Pick<Config, 'concurrency' | 'jobLockMs' | 'onStall' | 'keepCompleted'>;
  readonly telemetry?: Telemetry | undefined;
}

/** Creates a worker that does not run yet. */
export function openBullWorker(
  { connection, keys, instance, config, telemetry }: BullWorkerOptions,
  process: (job: Job, token: string) => Promise<void>,
  backend: BackendFactory<RedisQueueBackend>,
): BullWorker {
  const options = {
    connection,
    prefix: keys.queuePrefix,
    name: instance,
    autorun: false,
    concurrency: config.concurrency,
    lockDuration: config.jobLockMs,
    drainDelay: MAX_BLOCK_S,
    // An expired lock is detected within half its duration: at the second check after it.
    stalledInterval: Math.ceil(config.jobLockMs / 4),
    // `fail`: BullMQ gives a stalled message to a worker, which fails it without handling it.
    maxStalledCount: config.onStall === 'fail' ? 0 : Number.MAX_SAFE_INTEGER,
    // BullMQ's default, 15 s, is longer than most restarts of Redis take.
    runRetryDelay: 500,
    // Failed jobs have no such limit: they stay until they are retried or cleared, because the error log is reconciled
    // with them.
    removeOnComplete: { count: config.keepCompleted },
    ...(telemetry && { telemetry }),
  };
  // Two parameters: with a third, BullMQ creates an AbortSignal for every message, which costs 5 % of the handling
  // time.
  return new BullWorker(QUEUE_NAME, (job: Job, token) => process(job, token!), options, backend);
}
