import { hostname } from 'node:os';
import type { Telemetry } from 'bullmq';
import type { Config } from './config';
import { type Connections, openConnections } from './redis/connections';
import { AppError, toError } from './errors';
import { GroupState } from './group/view';
import { type Keys, keysOf } from './keys';
import { Leader } from './duties/leader';
import { CrashWatch } from './leadership/crashWatch';
import { Election } from './leadership/election';
import { leaseTimeoutMs, RedisLease } from './leadership/lease';
import { Presence } from './membership/presence';
import { Heartbeat } from './membership/registry';
import { takeTerm } from './leadership/term';
import type { Logger } from './logger';
import { workerWatchdog } from './handling/workerWatchdog';
import { ErrorLog } from './errorLog/errorLog';
import { openQueue } from './redis/queue';
import { reclaimUndelivered } from './handling/undelivered';
import { MessageWorker } from './handling/worker';
import { createProbes } from './readiness';
import { explainFailure } from './redis/connector';
import { findRisks } from './redis/durabilityCheck';
import type { RedisAddress } from './redis/address';
import { Releases } from './supervision/releases';
import type { Task } from './tasks/task';
import { sleep, systemClock } from './time';
import type { Metrics } from './web/metrics';

export interface InstanceOptions {
  readonly config: Config;
  readonly redis: RedisAddress;
  readonly task: Task;
  /** Traces messages; undefined: nothing is traced. */
  readonly telemetry?: Telemetry | undefined;
  readonly logger: Logger;
}

/** Spread of followers that all hear of the same hand-over, in milliseconds. */
const HANDOVER_JITTER_MS = 15;

/**
 * One running instance: built by hand from its parts, started in order. Gives what stops it again, in reverse.
 *
 * @throws AppError (exit code 1) if Redis can not be reached; nothing is left running then.
 */
export async function runInstance(options: InstanceOptions): Promise<{ stop(): Promise<void> }> {
  const { config, redis } = options;
  const logger = options.logger.child({ instance: config.instanceName });
  const releases = new Releases(logger);
  const stopped = new AbortController();
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopped.abort();
    return releases.releaseAll();
  };
  try {
    const connections = await openConnections({
      address: redis,
      keys: keysOf(config.namespace),
      leaseAddresses: config.leaseRedis,
      leaseTimeoutMs: leaseTimeoutMs(config.leaseTtlMs),
      releases,
      stopped: stopped.signal,
      logger,
    });
    const risks = await findRisks(connections.control);
    if (config.strictRedis && risks.length > 0) throw new AppError(`STRICT_REDIS: ${risks.join('; ')}`, 1);
    for (const risk of risks) logger.warn(risk);
    // Loaded before there is anything to note; without a board nobody could ask for it.
    const metrics = config.board.on
      ? new (await import('./web/metrics.js')).Metrics(config.namespace)
      : undefined;
    const parts = build({ ...options, logger, metrics }, connections, stopped.signal);
    await start(parts, config, releases, logger);
  } catch (error) {
    await stop();
    throw explainFailure(error, redis);
  }
  return { stop: () => (stopping ??= stop().then(() => void logger.info('stopped'))) };
}

/** Makes the parts and ties them together. Nothing runs yet. */
function build(
  {
    config,
    redis,
    task,
    telemetry,
    logger,
    metrics,
  }: InstanceOptions & { readonly metrics: Metrics | undefined },
  connections: Connections,
  stopped: AbortSignal,
) {
  const { instanceName: instance, leaseTtlMs: ttlMs } = config;
  const { control } = connections;
  const keys: Keys = keysOf(config.namespace);
  const queue = openQueue(connections.queue, keys);
  const errorLog = new ErrorLog(control, queue, keys);
  const worker = new MessageWorker({
    connection: connections.queue,
    keys,
    task,
    instance,
    config,
    observer: metrics,
    telemetry,
    logger,
  });
  const leader = new Leader({ connections, address: redis, queue, keys, task, config, telemetry, logger });
  const lease = new RedisLease({ nodes: connections.lease, key: keys.lease, ttlMs });
  const group = new GroupState({ client: control, queue, keys, lease, errorLog });
  const view: View = { address: undefined, changed: () => undefined };

  const election: Election = new Election({
    lease,
    async takeTerm(unrenewedMs) {
      const { term, cause } = await takeTerm(control, keys, instance, unrenewedMs);
      if (cause !== 'first') metrics?.tookOver(cause);
      return term;
    },
    lead(term) {
      announce('elected');
      view.changed();
      if (!config.generatorHandles) {
        worker.pause();
        logger.info('the generator handles no messages itself (GENERATOR_HANDLES=false)');
      }
      return leader.lead(term);
    },
    onEnding: (term, cause) => leader.markEnd(term, cause),
    onSteppedDown() {
      announce('left');
      view.changed();
    },
    onFollowing: () => worker.resume(),
    onRenewal: (outcome, tookMs) => metrics?.renewed(outcome, tookMs),
    clock: systemClock,
    logger,
    ttlMs,
  });
  const watch = new CrashWatch({
    control,
    keys,
    lease,
    isLeading: () => election.term !== undefined,
    onGone() {
      election.wake();
      view.changed();
    },
    logger,
  });
  const presence = new Presence({
    control,
    subscriber: connections.subscriber,
    keys,
    instance,
    onElected() {
      watch.relearn();
      view.changed();
    },
    onSteppedDown() {
      // Not all in the same instant.
      void sleep(Math.random() * HANDOVER_JITTER_MS).then(() => election.wake());
      view.changed();
    },
    logger,
  });
  const announce = (event: 'elected' | 'left') =>
    void presence
      .announce(event)
      .catch((error: unknown) => logger.debug('not announced', { error: toError(error) }));
  const startedAt = new Date().toISOString();
  const heartbeat = new Heartbeat({
    control,
    keys,
    instance,
    report: () => ({
      ...{ host: hostname(), pid: process.pid, startedAt },
      ...worker.counts,
      ...(view.address && { board: view.address }),
    }),
    isActive: () => worker.activeCount > 0,
    logger,
  });

  // A Redis that is back may have no leader.
  for (const node of connections.lease) node.on('ready', () => election.wake());
  const watchWorker = () => {
    const activity = { signal: stopped, progress: () => undefined };
    const options = { connection: connections.queue, client: control, queue, keys, instance, worker, logger };
    void reclaimUndelivered(options)(activity);
    void workerWatchdog(options)(activity);
  };
  const probes = createProbes({ connections, keys, instance, worker, election, leader, stopped, metrics });
  const own = { queue, errorLog, worker, leader, election, watch, presence, heartbeat };
  return { ...own, watchWorker, probes, group, view };
}

/** The board's address, and how to tell the pages open there of news: known once it has started, which comes last. */
interface View {
  address: { readonly host: string; readonly port: number } | undefined;
  changed: () => void;
}

/** Starts the parts in order, so that each finds what it needs, and notes how to stop them. */
async function start(
  parts: ReturnType<typeof build>,
  config: Config,
  releases: Releases,
  logger: Logger,
): Promise<void> {
  const { queue, errorLog, worker, leader, election, watch, presence, heartbeat, group, view } = parts;
  await presence.start();
  await heartbeat.start();
  releases.push('the heartbeat', () => heartbeat.stop(worker.activeCount === 0));
  // If nobody leads any more, nobody hears of these.
  releases.push('the last errors', () => errorLog.sync(worker.failedWhileStopping));
  releases.push('the chores of a leader', () => leader.settled());
  let board: Promise<{ close(): Promise<void> } | undefined> | undefined;
  releases.push('the board', async () => (await board)?.close());

  // A generator that handles nothing must not take a message before it knows what it is.
  if (config.generatorHandles) worker.resume();
  releases.push('the worker', () => worker.stop(config.shutdownTimeoutMs), config.shutdownTimeoutMs + 2000);
  parts.watchWorker();
  watch.start();
  releases.push('the crash watch', () => watch.stop());
  election.start();
  releases.push('leadership', () => election.stop());
  logger.info('started', { name: config.instanceName, pid: process.pid, namespace: config.namespace });

  if (config.board.on) {
    // Loaded when messages are already being handled: it takes longer to load than all the rest.
    board = import('./web/server.js')
      .then(async ({ startBoard }) => {
        const { namespace, instanceName: instance, board: settings } = config;
        const options = { queue, group, settings, namespace, instance, logger, ...parts.probes };
        const started = await startBoard(options);
        view.address = { host: settings.host, port: started.port };
        view.changed = () => started.changed();
        return started;
      })
      .catch((error: unknown) => {
        logger.warn('there is no board', { error: toError(error) });
        return undefined;
      });
  }
}
