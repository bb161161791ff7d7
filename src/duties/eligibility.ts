import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import { livingInstances } from '../membership/registry';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';

/**
 * Delay of the first check, which gives instances that start together time to report, and the interval after it, in
 * milliseconds.
 */
const FIRST_CHECK_DELAY_MS = 1500;
const POLL_INTERVAL_MS = 10_000;

/** Run by an instance that cannot generate: warns each time the group loses its last instance that can. */
export async function watchEligibility(
  { control, keys, logger }: { control: Redis; keys: Keys; logger: Pick<Logger, 'info' | 'warn'> },
  { signal, progress }: Activity,
): Promise<void> {
  let warned = false;
  for (let pause = FIRST_CHECK_DELAY_MS; !signal.aborted; pause = POLL_INTERVAL_MS) {
    await sleep(pause, signal);
    if (signal.aborted) return;
    const living = await livingInstances(control, keys);
    const anyCanGenerate = living.some(({ generates }) => generates);
    if (!anyCanGenerate && !warned) {
      logger.warn(
        'no living instance can generate: start an instance whose task has a generate function, without CAN_GENERATE=false',
        { instances: living.length },
      );
    } else if (anyCanGenerate && warned) {
      logger.info('an instance that can generate has joined');
    }
    warned = !anyCanGenerate;
    progress();
  }
}
