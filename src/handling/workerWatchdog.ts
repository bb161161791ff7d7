/*
 * A worker can go deaf: messages wait, and it never asks for one. BullMQ's worker waits on a connection of its own, and
 * when that one ends in silence, nothing else shows it (taskforcesh/bullmq#4378, #3088). The cause that was known has
 * been dealt with; the next is noticed here, by its effect.
 */
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import type { MessageWorker } from './worker';

export interface DeafnessOptions {
  readonly client: Redis;
  readonly queue: Pick<Queue, 'isPaused'>;
  readonly keys: Pick<Keys, 'waiting'>;
  readonly worker: Pick<MessageWorker, 'isIdle' | 'taken' | 'rebuild'>;
  readonly logger: Logger;
  /** Pause between two looks, in milliseconds. Default 5000: as long as a worker waits before it asks of itself. */
  readonly lookMs?: number;
}

/** Looks in a row at messages that wait while the worker idles, after which it is held to be deaf. */
const LOOKS = 3;

/** Rebuilds the worker whenever it is deaf, until the signal aborts. Never rejects. */
export async function watchWorker(options: DeafnessOptions, { signal, progress }: Activity): Promise<void> {
  const { client, queue, keys, worker, logger, lookMs = 5000 } = options;
  let looks = 0;
  let taken = worker.taken;
  while (!signal.aborted) {
    await sleep(lookMs, signal);
    try {
      progress();
      const idled = worker.isIdle && worker.taken === taken;
      taken = worker.taken;
      // Redis is asked only by who has nothing to do.
      looks = idled && (await client.llen(keys.waiting)) > 0 ? looks + 1 : 0;
      if (looks < LOOKS || signal.aborted || (await queue.isPaused())) continue;
      logger.warn('messages wait, and this idle worker takes none: it is built anew');
      worker.rebuild();
    } catch (error) {
      logger.debug('whether the worker is deaf could not be seen', { error: toError(error) });
    }
    looks = 0;
  }
}
