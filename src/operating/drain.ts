import { livingInstances } from '../membership/registry';
import { sleep } from '../time';
import { type OperatedGroup, pauseGroup } from './pause';

/** Messages that are not handled yet. */
export interface Undone {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
}

export interface DrainOptions {
  /** Who requests it: `user@host`. */
  readonly by: string;
  /** Ends the wait. */
  readonly signal: AbortSignal;
  /** Called after each poll with the remaining messages. */
  readonly onProgress: (left: Undone) => void;
  /** Called immediately with the reason if no message would ever be handled. */
  readonly onHindrance: (why: 'handling is paused' | 'no instance is alive') => void;
}

const POLL_INTERVAL_MS = 200;

/** Pauses generating and waits until nothing waits, is active or is delayed. False if the signal aborted before. */
export async function drainGroup(group: OperatedGroup, options: DrainOptions): Promise<boolean> {
  const { signal, by, onProgress, onHindrance } = options;
  const { client, keys, queue } = group;
  await pauseGroup(group, { what: 'generating', by });
  for (let looks = 0; ; looks++) {
    const counts = await queue.getJobCounts('wait', 'prioritized', 'active', 'delayed');
    const { wait = 0, prioritized = 0, active = 0, delayed = 0 } = counts;
    const left = { waiting: wait + prioritized, active, delayed };
    onProgress(left);
    if (left.waiting + active + delayed === 0) return true;
    if (looks === 0) {
      if (await queue.isPaused()) onHindrance('handling is paused');
      if ((await livingInstances(client, keys)).length === 0) onHindrance('no instance is alive');
    }
    if (signal.aborted) return false;
    await sleep(POLL_INTERVAL_MS, signal);
  }
}
