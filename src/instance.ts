import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import type { Queue, Telemetry } from 'bullmq';
import type { Config } from './config';
import { Balancer } from './duties/balancer';
import { GeneratorDuty } from './duties/generator';
import { keepPromises } from './duties/keeper';
import { type Duty, RoleElections } from './duties/roleElections';
import { describeRoles } from './duties/roleReports';
import { AppError } from './errors';
import { ErrorLog } from './errorLog/errorLog';
import { GroupState } from './group/view';
import { reclaimUndelivered } from './handling/redelivery';
import { MessageWorker } from './handling/worker';
import { watchWorker } from './handling/workerWatchdog';
import { type Keys, keysOf } from './keys';
import { generatorRole, keeperRole } from './leadership/role';
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
    const leading = buildLeading(foundation, handling);
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

/** The roles that this instance campaigns for: the keeper's, and if it may generate, one for each source. */
function buildLeading(foundation: Foundation, { worker }: Handling) {
  const { connections, keys, config, queue, redis, supervisor, sources, task, metrics, logger, events } =
    foundation;
  const { control } = connections;
  const generates = config.canGenerate;
  const names = sources ?? [undefined];
  const generators = !generates
    ? []
    : names.map((name) => {
        const role = generatorRole(keys, name);
        return {
          role,
          duty: new GeneratorDuty({
            role,
            connections,
            keys,
            task,
            config,
            telemetry: foundation.telemetry,
            logger,
          }),
        };
      });
  const keeper: Duty = {
    role: keeperRole(keys),
    lead: (term) => keepPromises(term, { control, queue, address: redis, keys, config, supervisor, logger }),
  };
  const duties: Duty[] = [
    ...generators.map(({ role, duty }) => ({ role, lead: duty.lead.bind(duty) })),
    keeper,
  ];
  const undecided = new Set(generators.map(({ role }) => role.id));
  /** A generator that handles nothing must not take a message before it knows what it is. */
  const updateHandling = () => {
    const generating = elections.led.some(({ role }) => role.kind === 'generator');
    if (config.generatorHandles || (!generating && undecided.size === 0)) worker.resume();
    else if (generating) worker.pause();
  };
  const elections: RoleElections = new RoleElections({
    connections,
    keys,
    config,
    duties,
    chooseSuccessor: (role) => balancer.chooseSuccessor(role),
    observer: {
      changed(role, event) {
        undecided.delete(role.id);
        if (event === 'elected' && role.kind === 'generator' && !config.generatorHandles)
          logger.info('the generator handles no messages itself (GENERATOR_HANDLES=false)');
        updateHandling();
        events.emit('changed');
      },
      following(role) {
        if (undecided.delete(role.id)) updateHandling();
      },
      renewed: (outcome, tookMs) => metrics?.renewed(outcome, tookMs),
      tookOver: (role, cause) => {
        if (role.kind === 'generator') metrics?.tookOver(cause);
      },
    },
    logger,
  });
  const balancer: Balancer = new Balancer({
    control,
    keys,
    instance: config.instanceName,
    holders: () => elections.watch.holders,
    led: () => elections.led.map(({ role }) => role),
    handOver: (roleId, successor) => elections.handOver(roleId, successor),
    logger,
  });
  return { elections, generators, balancer, updateHandling };
}

type Leading = ReturnType<typeof buildLeading>;

/** What others see of this instance. */
function buildVisible(foundation: Foundation, { worker }: Handling, { elections, generators }: Leading) {
  const { connections, keys, config, queue, errorLog, supervisor, sources, metrics, logger, stopped } =
    foundation;
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
      generates: config.canGenerate,
      ...(sources && { sources }),
      ...describeRoles(elections, generators),
      ...(board.address && { board: board.address }),
    }),
  });
  const lease = { holder: async () => (await elections.leases.holders([keys.source().lease]))[0] };
  const group = new GroupState({ client: control, queue, keys, lease, errorLog });
  const probes = createProbes({
    connections,
    keys,
    instance,
    worker,
    elections,
    supervisor,
    stopped,
    metrics,
  });
  return { heartbeat, group, probes, board };
}

type Parts = Handling & Leading & ReturnType<typeof buildVisible>;

/** Starts the parts in order, so that each finds what it needs, and notes how to stop them. */
async function start(foundation: Foundation, parts: Parts, releases: Releases): Promise<void> {
  const { connections, keys, config, errorLog, supervisor, queue, events, stopped, logger } = foundation;
  const { worker, elections, balancer, heartbeat, updateHandling } = parts;
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
  releases.push('the last errors', () => errorLog.sync(worker.failedAtTheEnd));
  releases.push('the background activities', () => supervisor.stop());
  const board = startBoardLater(foundation, parts);
  releases.push('the board', async () => (await board())?.close());
  updateHandling();
  releases.push('the worker', () => worker.stop(config.shutdownTimeoutMs), config.shutdownTimeoutMs + 2000);

  supervisor.start({ name: 'heartbeat', run: (activity) => heartbeat.run(activity) });
  supervisor.start({ name: 'crash watch', run: (activity) => elections.watch.run(activity) });
  supervisor.start({ name: 'balancer', run: (activity) => balancer.run(activity), stallAfterMs: 10_000 });
  supervisor.start({
    name: 'worker watchdog',
    run: (activity) => watchWorker({ client: control, queue, keys, worker, logger }, activity),
    stallAfterMs: 15_000,
  });
  // Redis may have handed out what never arrived.
  connections.queue.on('ready', () => {
    void reclaimUndelivered({ client: control, queue, keys, instance, worker, signal: stopped, logger });
  });
  elections.start();
  releases.push('leadership', () => elections.stop(), 3000);
  logger.info('started', { name: instance, pid: process.pid, namespace: config.namespace });
  void board();
}

/** The board loads when messages are already being handled: it takes longer to load than all the rest. */
function startBoardLater({ config, queue, events, logger }: Foundation, { group, probes, board }: Parts) {
  let starting: Promise<{ close(): Promise<void> } | undefined> | undefined;
  return () => {
    if (!config.board.on) return Promise.resolve(undefined);
    return (starting ??= import('./web/server.js')
      .then(async ({ startBoard }) => {
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
