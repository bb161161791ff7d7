import { EventEmitter } from 'node:events';
import type { Queue } from 'bullmq';
import type { Config } from '../configuration/config';
import { AppError } from '../errors';
import { ErrorLog } from '../errorLog/errorLog';
import type { HostEvents } from './events';
import { type Keys, keysOf } from '../keys';
import { timingsOf } from '../leadership/timings';
import { load } from './load';
import type { Logger } from '../logging/logger';
import type { RedisAddress } from '../redis/address';
import { type Connections, openConnections } from '../redis/connections';
import { findRisks } from '../redis/durabilityCheck';
import { openQueue } from '../redis/queue';
import type { Releases } from '../supervision/releases';
import { Supervisor } from '../supervision/supervisor';
import type { Task } from '../tasks/task';
import type { Traces } from '../tracing';
import type { Metrics } from '../web/metrics';

export interface InstanceOptions {
  readonly config: Config;
  readonly redis: RedisAddress;
  readonly task: Task;
  /** Names of the sources; undefined: the task has one unnamed source. */
  readonly sources?: readonly string[] | undefined;
  /** Traces messages; undefined: tracing is off. */
  readonly traces?: Pick<Traces, 'telemetry' | 'recordException'> | undefined;
  /** The events that the host can listen to. */
  readonly hostEvents: HostEvents;
  /** Whether metrics are collected even without a board. */
  readonly metrics: boolean;
  readonly logger: Logger;
}

/** What every part of an instance is built on. */
export interface Foundation extends Omit<InstanceOptions, 'metrics'> {
  readonly keys: Keys;
  readonly connections: Connections;
  readonly supervisor: Supervisor;
  readonly queue: Queue;
  readonly errorLog: ErrorLog;
  /** Undefined if nothing could read them. */
  readonly metrics: Metrics | undefined;
  /** Emits `changed` when the leader of a role changes. */
  readonly events: EventEmitter;
  readonly stopped: AbortSignal;
}

/** Connects, and checks whether the settings of this Redis can lose data. */
export async function layFoundation(
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
    metrics: config.board.on || options.metrics ? new (load.metrics().Metrics)(config.namespace) : undefined,
    events: new EventEmitter(),
    stopped,
  };
}
