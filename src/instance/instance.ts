import { boardLater, mountLater } from './boards';
import { assembleRoles } from '../duties/assembleRoles';
import { watchEligibility } from '../duties/eligibility';
import { readPauses } from '../duties/pauses';
import { describeRoles } from '../duties/roleReports';
import type { ErrorRecord } from '../errorLog/record';
import { watchReadiness } from './events';
import { type Foundation, type InstanceOptions, layFoundation } from './foundation';
import { LiveView } from '../group/liveView';
import { readStatus } from '../group/status';
import type { HandlingObserver } from '../handling/observer';
import { reclaimUndelivered } from '../handling/undelivered';
import { MessageWorker } from '../handling/worker';
import { workerWatchdog } from '../handling/workerWatchdog';
import { showPresence } from '../membership/presence';
import { Heartbeat } from '../membership/registry';
import { createProbes } from './readiness';
import { explainFailure } from '../redis/connector';
import type { Status } from './shapes';
import { Releases } from '../supervision/releases';
import { withDeadline } from '../time';
import type { Probes } from '../web/settings';
import { hostname } from 'node:os';

/** What a running instance offers. */
export interface RunningInstance extends Probes {
  /** Whether it generates. */
  readonly isLeader: boolean;
  readonly status: () => Promise<Status>;
  /** Yields every error record, oldest first. */
  readonly errors: () => AsyncGenerator<ErrorRecord, void, undefined>;
  /** The web application. */
  readonly fetch: (request: Request) => Promise<Response>;
  readonly stop: () => Promise<void>;
}

/**
 * Runs one instance: creates its parts, starts them in order, and returns what stops them in reverse order.
 *
 * @throws AppError (exit code 1) if Redis cannot be reached; nothing is left running then.
 */
export async function runInstance(options: InstanceOptions): Promise<RunningInstance> {
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
    const parts = { ...handling, ...leading, ...visible };
    await start(foundation, parts, releases);
    const stopOnce = () => (stopping ??= stop().then(() => void logger.info('stopped')));
    return running(foundation, parts, stopOnce);
  } catch (error) {
    await stop();
    throw explainFailure(error, redis);
  }
}

/** How long to wait for an answer from Redis before reporting that there is none, in milliseconds. */
const STATUS_TIMEOUT_MS = 5000;

function running({ errorLog }: Foundation, parts: Parts, stop: () => Promise<void>): RunningInstance {
  const { elections, probes, source, mount } = parts;
  return {
    ...probes,
    get isLeader() {
      return elections.led.some(({ role }) => role.kind === 'generator');
    },
    status: () => withDeadline(readStatus(source), STATUS_TIMEOUT_MS, 'reading the status'),
    errors: () => errorLog.records(),
    fetch: (request) => mount.get().fetch(request),
    stop,
  };
}

function buildHandling({ connections, keys, task, config, metrics, traces, hostEvents, logger }: Foundation) {
  const { instanceName: instance } = config;
  const observer: HandlingObserver = {
    handled: (tookMs, waitedMs) => metrics?.handled(tookMs, waitedMs),
    ended: (outcome) => metrics?.ended(outcome),
    threw: (error) => traces?.recordException(error),
    failed: (message) => hostEvents.emit('messageFailed', message),
  };
  return {
    worker: new MessageWorker({
      connection: connections.queue,
      keys,
      task,
      instance,
      config,
      observer,
      telemetry: traces?.telemetry,
      logger,
    }),
  };
}

type Handling = ReturnType<typeof buildHandling>;
type Leading = ReturnType<typeof assembleRoles>;

/** Builds the parts that make this instance visible to others. */
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
      ...(supervisor.stalled.length > 0 && { stalled: supervisor.stalled.map(({ name }) => name) }),
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
  const boards = {
    config,
    queue,
    group,
    groupSource: source,
    probes,
    events: foundation.events,
    logger: foundation.logger,
  };
  const startBoard = boardLater(boards, (port) => (board.address = { host: config.board.host, port }));
  return { heartbeat, probes, source, startBoard, mount: mountLater(boards) };
}

type Parts = Handling & Leading & ReturnType<typeof buildVisible>;

/** Starts the parts in order, so that each finds what it needs, and records how to stop them. */
async function start(foundation: Foundation, parts: Parts, releases: Releases): Promise<void> {
  const { connections, keys, config, errorLog, supervisor, queue, events, stopped, logger } = foundation;
  const { worker, elections, generators, balancer, heartbeat, gate, probes, mount, startBoard } = parts;
  const { control, subscriber } = connections;
  const { instanceName: instance } = config;
  const hear: Parameters<typeof showPresence>[0]['onAnnouncement'] = (announcement) => {
    elections.hear(announcement);
    // The next commit detects a pause that could not be read.
    if (announcement.event === 'pause') readPauses(control, keys, generators).catch(() => undefined);
    events.emit('changed');
  };
  await showPresence({ control, subscriber, keys, instance, onAnnouncement: hear, stopped, logger });
  await heartbeat.send();
  releases.push('the report', () => heartbeat.leave(worker.activeCount === 0));
  // Without a keeper, nothing else would record these.
  releases.push('the last errors', () => errorLog.sync(worker.failedWhileStopping));
  releases.push('the background activities', () => supervisor.stop());
  releases.push('the board', async () => (await startBoard())?.close());
  releases.push('the mounted application', () => mount.close());
  gate.open();
  releases.push('the worker', () => worker.stop(config.shutdownTimeoutMs), config.shutdownTimeoutMs + 2000);

  supervisor.start({ name: 'heartbeat', run: (activity) => heartbeat.run(activity) });
  supervisor.start({ name: 'crash watch', run: (activity) => elections.watch.run(activity) });
  supervisor.start({ name: 'balancer', run: (activity) => balancer.run(activity), stallAfterMs: 10_000 });
  const watched = { connection: connections.queue, client: control, queue, keys, instance, worker, logger };
  supervisor.start({ name: 'worker watchdog', run: workerWatchdog(watched), stallAfterMs: 15_000 });
  supervisor.start({ name: 'undelivered messages', run: reclaimUndelivered(watched) });
  if (generators.length === 0)
    supervisor.start({
      name: 'eligibility',
      run: (activity) => watchEligibility({ control, keys, logger }, activity),
      stallAfterMs: 25_000,
    });
  elections.start();
  releases.push('leadership', () => elections.stop(), 3000);
  logger.info('started', { name: instance, pid: process.pid, namespace: config.namespace });
  void startBoard();
  void watchReadiness(foundation.hostEvents, probes.readiness, foundation.stopped);
}
