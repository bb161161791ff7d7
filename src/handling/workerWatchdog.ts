/*
 * The stalled-worker watchdog. A worker can stall: messages wait, and it never fetches one. BullMQ's worker waits on
 * its own connection, and if that connection dies silently, nothing else detects it (taskforcesh/bullmq#4378, #3088).
 * The known causes are fixed; the watchdog detects any other by its effect.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import type { MessageWorker } from './worker';

export interface WatchdogOptions {
  /** Not the connection of the worker, which might be the stalled one. */
  readonly client: Redis;
  readonly keys: Pick<Keys, 'waiting' | 'meta'>;
  readonly worker: Pick<MessageWorker, 'isIdle' | 'taken' | 'restart' | 'reportSlow'>;
  readonly logger: Logger;
  /** In milliseconds. Default 5000: longer than a worker waits before it polls again. */
  readonly checkIntervalMs?: number;
}

/** Number of consecutive checks with messages waiting and the worker idle after which it is restarted. */
const CHECKS = 3;

/** Restarts a stalled worker, and warns about slow messages, until the signal aborts. Never rejects. */
export function workerWatchdog(options: WatchdogOptions): (activity: Activity) => Promise<void> {
  const { client, keys, worker, logger, checkIntervalMs = 5000 } = options;
  return async ({ signal, progress }) => {
    let stalledChecks = 0;
    let taken = worker.taken;
    const isIdle = () => worker.isIdle && worker.taken === taken;
    while (!signal.aborted) {
      await sleep(checkIntervalMs, signal);
      if (signal.aborted) return;
      worker.reportSlow();
      try {
        const wasIdle = isIdle();
        taken = worker.taken;
        // Redis is queried only while the worker is idle. Check again after the reply: the worker might have resumed.
        const isStalled = wasIdle && (await isAnyWaiting(client, keys)) && isIdle();
        stalledChecks = isStalled ? stalledChecks + 1 : 0;
        progress();
      } catch (error) {
        stalledChecks = 0;
        logger.debug('the worker watchdog could not query Redis', { error: toError(error) });
      }
      if (stalledChecks < CHECKS || signal.aborted) continue;
      stalledChecks = 0;
      logger.warn('messages are waiting, but this idle worker takes none: restarting it');
      worker.restart();
    }
  };
}

/** Whether messages are waiting and handling is not paused. */
async function isAnyWaiting(client: Redis, keys: Pick<Keys, 'waiting' | 'meta'>): Promise<boolean> {
  const [waiting, paused] = await Promise.all([
    client.llen(keys.waiting),
    client.hexists(keys.meta, 'paused'),
  ]);
  return waiting > 0 && paused === 0;
}
