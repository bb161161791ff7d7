import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import type { Queue, Telemetry } from 'bullmq';
import type { Config } from './config';
import { assembleRoles } from './duties/assembleRoles';
import { describeRoles } from './duties/roleReports';
import { AppError } from './errors';
import { ErrorLog } from './errorLog/errorLog';
import { LiveView } from './group/liveView';
import { reclaimUndelivered } from './handling/undelivered';
import { MessageWorker } from './handling/worker';
import { workerWatchdog } from './handling/workerWatchdog';
import { type Keys, keysOf } from './keys';
import { timingsOf } from './leadership/timings';
import type { Logger } from './logger';
import { Heartbeat } from './membership/registry';
import { showPresence } from './membership/presence';
import { createProbes } from './readiness';
import type { RedisAddress } from './redis/address';
import { type Connections, openConnections } from './redis/connections';
import { explainFailure } from './redis/connector';
import { findRisks } from './redis/durabilityCheck';
import { openQueue } from './redis/queue';
import { Releases } from './supervision/releases';
import { Supervisor } from './supervision/supervisor';
import type { Task } from './tasks/task';
import { sleep } from './time';
import type { Metrics } from './web/metrics';

export interface InstanceOptions {
  readonly config: Config;
  readonly redis: RedisAddress;
  readonly task: Task;
  /** Names of the sources; undefined: the task has one source without a name. */
  readonly sources?: readonly string[] | undefined;
  /** Traces messages; undefined: nothing is traced. */
  readonly telemetry?: Telemetry | undefined;
  readonly logger: Logger;
}

/** Within this time of its start, an instance usually leads and handles its first message. */
const BOARD_DELAY_MS = 250;

/** What an instance is made of before it has parts that do anything. */
interface Foundation extends InstanceOptions {
  readonly keys: Keys;
  readonly connections: Connections;
  readonly supervisor: Supervisor;
  readonly queue: Queue;
  readonly errorLog: ErrorLog;
  /** Undefined without a board: then nobody could ask for them. */
  readonly metrics: Metrics | undefined;
  /** Emits `changed` when who leads has changed. */
  readonly events: EventEmitter;
  readonly stopped: AbortSignal;
}

/**
 * One running instance: built by hand from its parts, started in order. Gives what stops it again, in reverse.
 *
 * @throws AppError (exit code 1) if Redis cannot be reached; nothing is left running then.
 */
export async function runInstance(options: InstanceOptions): Promise<{ stop(): Promise<void> }> {
  const { redis, config } = options;
  const logger = options.logger.child({ instance: config.instanceName });
  const releases = new Releases(logger);
  const stopped = new AbortController();
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopped.abort();
    return releases.releaseAll();
  };
  try {
    const foundation = await layFoundation({ ...options, logger }, releases, stopped.signal);
    const handling = buildHandling(foundation);
    const leading = assembleRoles(foundation, handling.worker);
    const visible = buildVisible(foundation, handling, leading);
    await start(foundation, { ...handling, ...leading, ...visible }, releases);
  } catch (error) {
    await stop();
    throw explainFailure(error, redis);
  }
  return { stop: () => (stopping ??= stop().then(() => void logger.info('stopped'))) };
}

/** Connects, and looks whether this Redis keeps what it is given. */
async function layFoundation(
  options: InstanceOptions,
  releases: Releases,
  stopped: AbortSignal,
): Promise<Foundation> {
  const { config, redis, logger } = options;
  const keys = keysOf(config.namespace);
  const connections = await openConnections({
    address: redis,
    keys,
    instance: config.instanceName,
    leaseAddresses: config.leaseRedis,
    leaseTimeoutMs: timingsOf(config.leaseTtlMs).leaseCommandTimeout.ms,
    releases,
    stopped,
    logger,
  });
  const risks = await findRisks(connections.control);
  if (config.strictRedis && risks.length > 0) throw new AppError(`STRICT_REDIS: ${risks.join('; ')}`, 1);
  for (const risk of risks) logger.warn(risk);
  const queue = openQueue(connections.queue, keys);
  return {
    ...options,
    keys,
    connections,
    queue,
    errorLog: new ErrorLog(connections.control, queue, keys),
    supervisor: new Supervisor({ canProgress: () => connections.control.status === 'ready', logger }),
    metrics: config.board.on ? new (await import('./web/metrics.js')).Metrics(config.namespace) : undefined,
    events: new EventEmitter(),
    stopped,
  };
}

function buildHandling({
  connections,
  keys,
  task,
  config,
  metrics: observer,
  telemetry,
  logger,
}: Foundation) {
  const { instanceName: instance } = config;
  return {
    worker: new MessageWorker({
      connection: connections.queue,
      keys,
      task,
      instance,
      config,
      observer,
      telemetry,
      logger,
    }),
  };
}

type Handling = ReturnType<typeof buildHandling>;
type Leading = ReturnType<typeof assembleRoles>;

/** What others see of this instance. */
function buildVisible(foundation: Foundation, { worker }: Handling, { elections, generators }: Leading) {
  const { connections, keys, config, queue, errorLog, supervisor, sources, metrics, stopped } = foundation;
  const { instanceName: instance } = config;
  const { control } = connections;
  const board: { address?: { readonly host: string; readonly port: number } } = {};
  const startedAt = new Date().toISOString();
  const heartbeat = new Heartbeat({
    control,
    keys,
    instance,
    report: () => ({
      ...{ host: hostname(), pid: process.pid, startedAt },
      ...worker.counts,
      generates: generators.length > 0,
      ...(sources && { sources: [...sources] }),
      ...describeRoles(elections, generators),
      ...(worker.slowCount > 0 && { slow: worker.slowCount }),
      ...(board.address && { board: board.address }),
    }),
    isActive: () => worker.activeCount > 0,
  });
  const source = { client: control, queue, keys, leases: elections.leases, namespace: config.namespace };
  const group = new LiveView({ ...source, errorLog });
  const probes = createProbes({
    ...{ connections, keys, instance, worker, elections, generators, supervisor, stopped, metrics },
    group: source,
  });
  return { heartbeat, group, probes, board };
}

type Parts = Handling & Leading & ReturnType<typeof buildVisible>;

/** Starts the parts in order, so that each finds what it needs, and notes how to stop them. */
async function start(foundation: Foundation, parts: Parts, releases: Releases): Promise<void> {
  const { connections, keys, config, errorLog, supervisor, queue, events, logger } = foundation;
  const { worker, elections, balancer, heartbeat, gate } = parts;
  const { control, subscriber } = connections;
  const { instanceName: instance } = config;
  const hear: Parameters<typeof showPresence>[0]['onAnnouncement'] = (announcement) => {
    elections.hear(announcement);
    events.emit('changed');
  };
  await showPresence({ control, subscriber, keys, instance, onAnnouncement: hear, logger });
  await heartbeat.send();
  releases.push('the report', () => heartbeat.leave(worker.activeCount === 0));
  // If nobody keeps the promises any more, nobody hears of these.
  releases.push('the last errors', () => errorLog.sync(worker.failedWhileStopping));
  releases.push('the background activities', () => supervisor.stop());
  const board = startBoardLater(foundation, parts);
  releases.push('the board', async () => (await board())?.close());
  gate.open();
  releases.push('the worker', () => worker.stop(config.shutdownTimeoutMs), config.shutdownTimeoutMs + 2000);

  supervisor.start({ name: 'heartbeat', run: (activity) => heartbeat.run(activity) });
  supervisor.start({ name: 'crash watch', run: (activity) => elections.watch.run(activity) });
  supervisor.start({ name: 'balancer', run: (activity) => balancer.run(activity), stallAfterMs: 10_000 });
  const watched = { connection: connections.queue, client: control, queue, keys, instance, worker, logger };
  supervisor.start({ name: 'worker watchdog', run: workerWatchdog(watched), stallAfterMs: 15_000 });
  supervisor.start({ name: 'undelivered messages', run: reclaimUndelivered(watched) });
  elections.start();
  releases.push('leadership', () => elections.stop(), 3000);
  logger.info('started', { name: instance, pid: process.pid, namespace: config.namespace });
  void board();
}

/**
 * The board loads when messages are already being handled: while it does, which takes longer than all the rest of a
 * start, this process can do nothing else.
 */
function startBoardLater(
  { config, queue, events, logger, stopped }: Foundation,
  { group, probes, board }: Parts,
) {
  let starting: Promise<{ close(): Promise<void> } | undefined> | undefined;
  return () => {
    if (!config.board.on) return Promise.resolve(undefined);
    return (starting ??= sleep(BOARD_DELAY_MS, stopped)
      .then(async () => {
        if (stopped.aborted) return undefined;
        const { startBoard } = await import('./web/server.js');
        const { namespace, instanceName: instance, board: settings } = config;
        const started = await startBoard({ queue, group, settings, namespace, instance, logger, ...probes });
        board.address = { host: settings.host, port: started.port };
        events.on('changed', () => started.changed());
        return started;
      })
      .catch((error: unknown) => {
        logger.warn('there is no board', { error });
        return undefined;
      }));
  };
}
