import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Config } from '../configuration/config';
import { toError } from '../errors';
import { runRecorderThread } from '../errorLog/recorderHost';
import { recordSamples } from '../group/samples';
import { redelivery } from '../handling/redelivery';
import { freeStalledCheck } from '../handling/stalledCheck';
import type { Keys } from '../keys';
import type { Term } from '../leadership/options';
import type { Logger } from '../logging/logger';
import type { DeadInstances } from '../membership/deadInstances';
import { pruneDead } from '../membership/registry';
import type { RedisAddress } from '../redis/address';
import type { Activity, Supervisor } from '../supervision/supervisor';
import { aborted, sleep } from '../time';

export interface KeeperDutyOptions {
  readonly control: Redis;
  readonly queue: Queue;
  readonly address: RedisAddress;
  readonly keys: Keys;
  readonly config: Pick<Config, 'namespace' | 'onStall' | 'jobLockMs'>;
  /** Knows the instances that were seen since the control connection opened. */
  readonly deadInstances: DeadInstances;
  readonly supervisor: Pick<Supervisor, 'start'>;
  readonly logger: Logger;
}

/** How often the keeper removes what nothing else would, in milliseconds. */
const SWEEP_INTERVAL_MS = 10_000;

/**
 * How long errors are still recorded after the term ends, in milliseconds. The recorder of the next keeper takes a
 * second to load, and much longer on a busy machine.
 */
const RECORDING_AFTER_MS = 5000;

/**
 * What an instance does while it is the keeper: the work every task needs. None of it is fenced, since a brief overlap
 * between two keepers is harmless: each operation is idempotent.
 */
export function keepPromises(term: Term, options: KeeperDutyOptions): Promise<void> {
  const { control, queue, address, keys, config, supervisor } = options;
  const { signal } = term;
  const logger = options.logger.child({ term: term.number });
  supervisor.start({
    name: 'error recorder',
    run: (activity) => runRecorderThread({ address, namespace: config.namespace, logger }, activity),
    // The recorder replaces an unresponsive thread and stalled connections itself; a new thread needs time to load.
    restartAfterMs: 15_000,
    signal: abortedLater(signal, RECORDING_AFTER_MS),
  });
  const filterDead = (instances: readonly string[]) => options.deadInstances.filterDead(instances);
  supervisor.start({
    name: 'redelivery',
    run: redelivery({ client: control, queue, keys, filterDead, onStall: config.onStall, logger }),
    signal,
  });
  supervisor.start({
    name: 'samples',
    run: (activity) => recordSamples({ client: control, keys }, activity),
    stallAfterMs: 12_000,
    signal,
  });
  supervisor.start({
    name: 'sweeping',
    run: (activity) => sweep(options, activity),
    stallAfterMs: 2 * SWEEP_INTERVAL_MS,
    signal,
  });
  return aborted(signal);
}

/** Returns a signal that aborts `ms` milliseconds after `signal`, without keeping the process alive. */
function abortedLater(signal: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController();
  void aborted(signal).then(() => setTimeout(() => later.abort(), ms).unref());
  return later.signal;
}

async function sweep(
  { control, keys, config, logger }: KeeperDutyOptions,
  { signal, progress }: Activity,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(SWEEP_INTERVAL_MS, signal);
    if (signal.aborted) return;
    try {
      await pruneDead(control, keys);
      await freeStalledCheck(control, keys, config.jobLockMs);
    } catch (error) {
      logger.debug('sweeping was interrupted', { error: toError(error) });
    }
    progress();
  }
}
