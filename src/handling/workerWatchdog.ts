/*
 * The stalled-worker watchdog. A worker can stall: messages wait, and it never asks for one. BullMQ's worker waits on a
 * connection of its own, and when that one ends in silence, nothing else shows it (taskforcesh/bullmq#4378, #3088). The
 * known causes have been dealt with; the next one is noticed here, by its effect.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import type { MessageWorker } from './worker';

export interface WatchdogOptions {
  /** Not the connection of the worker, which might be the one that is stalled. */
  readonly client: Redis;
  readonly keys: Pick<Keys, 'waiting' | 'meta'>;
  readonly worker: Pick<MessageWorker, 'isIdle' | 'taken' | 'restart' | 'reportSlow'>;
  readonly logger: Logger;
  /** In milliseconds. Default 5000: longer than a worker waits before it asks again. */
  readonly checkIntervalMs?: number;
}

/** Checks in a row that find messages waiting and the worker idle, after which it is restarted. */
const CHECKS = 3;

/** Restarts the worker whenever it is stalled, and warns of slow messages, until the signal aborts. Never rejects. */
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
        // Asked only while there is nothing to do. Tested again after the answer: the worker might have come back.
        const isStalled = wasIdle && (await isAnyWaiting(client, keys)) && isIdle();
        stalledChecks = isStalled ? stalledChecks + 1 : 0;
        progress();
      } catch (error) {
        stalledChecks = 0;
        logger.debug('the worker watchdog could not ask Redis', { error: toError(error) });
      }
      if (stalledChecks < CHECKS || signal.aborted) continue;
      stalledChecks = 0;
      logger.warn('messages wait, and this idle worker takes none: restarting it');
      worker.restart();
    }
  };
}

/** Whether messages wait, and handling is not paused. */
async function isAnyWaiting(client: Redis, keys: Pick<Keys, 'waiting' | 'meta'>): Promise<boolean> {
  const [waiting, paused] = await Promise.all([
    client.llen(keys.waiting),
    client.hexists(keys.meta, 'paused'),
  ]);
  return waiting > 0 && paused === 0;
}
