/**
 * The package's main entry: the types of a task, and an instance that runs inside another program's process.
 *
 * @module index
 */
import type { Environment } from './configuration/config';
import { checkOptions, EmbeddedInstance } from './instance/embedding';
import type { ErrorRecord } from './errorLog/record';
import type { HostLogger } from './logging/logger';
import type { InstanceEvents, Readiness, Status } from './instance/shapes';
import type { Task } from './tasks/task';

export type { Environment } from './configuration/config';
export type { ErrorDetails, ErrorRecord } from './errorLog/record';
export type { HostLogger, Logger } from './logging/logger';
export type {
  FailedMessage,
  InstanceEvents,
  LivingInstance,
  Leader,
  Leadership,
  MessageCounts,
  Readiness,
  SourceStatus,
  Status,
} from './instance/shapes';
export type { Batch, GenerateContext, HandleContext, Task } from './tasks/task';

/** The options of {@link createInstance}. Every option has a default. */
export interface CreateInstanceOptions<Message = unknown, Cursor = unknown> {
  /** What the instance generates and handles. Default: the module that TASK in `env` names, otherwise the demo. */
  readonly task?: Task<Message, Cursor>;
  /**
   * The settings, by the names that docs/configuration.md lists with their units and defaults. They replace the
   * process's environment as a whole, and no `.env` is read. Default: `process.env`.
   */
  readonly env?: Environment;
  /**
   * Receives all log lines of the instance and its task. It decides about levels and format: LOG_LEVEL and LOG_FORMAT
   * have no effect. Each line carries `namespace`, and most carry `instance`. Default: lines on stderr, as JSON or
   * readable text.
   */
  readonly logger?: HostLogger;
}

/**
 * An instance in this process, the same as one that `npm start` runs. It installs no signal handlers and never ends the
 * process.
 */
export interface Instance {
  /**
   * Joins the group. Resolves once this instance handles messages; a later call returns the same promise. After `stop` it
   * does nothing.
   *
   * @throws an `AppError` whose message names what is wrong with the configuration or the task (`exitCode` 2), or
   *   that Redis cannot be reached (`exitCode` 1)
   */
  start(): Promise<void>;
  /**
   * Hands leadership over, waits up to `SHUTDOWN_TIMEOUT_MS` (10,000 ms by default) for active messages, and closes
   * every connection. A message that is still active then is redelivered to another instance. It can be called at any
   * time, even before `start`, and more than once; every call returns the same promise.
   */
  stop(): Promise<void>;
  /** Whether this instance currently generates from at least one source. */
  readonly isLeader: boolean;
  /**
   * The state of the whole group, as `status --json` prints it.
   *
   * @throws an `Error` if the instance is not running, or if Redis does not answer within 5 s
   */
  status(): Promise<Status>;
  /** Whether the worker of this instance runs, as `/healthz` reports; false before `start` and after `stop`. */
  health(): boolean;
  /** Whether this instance works, as `/readyz` reports. Takes at most a second, and one command to Redis. */
  readiness(): Promise<Readiness>;
  /** The metrics of this instance and its group in Prometheus's text format; empty before `start` and after `stop`. */
  metrics(): Promise<string>;
  /**
   * Yields every error record of the group, oldest first. Records are read as they are consumed.
   *
   * @throws an `Error` at the first step if the instance is not running
   */
  errors(): AsyncIterable<ErrorRecord>;
  /**
   * The web application (live view, Bull Board, probes, metrics), for mounting in your own server. It works under any
   * path if it receives requests with their full URLs. It does not check the Host header, and asks for a password only
   * if BOARD_PASSWORD is set. It responds with 503 while the instance is not running.
   */
  fetch(request: Request): Promise<Response>;
  /** Adds a listener. Errors that it throws are logged and have no other effect. */
  on<Name extends keyof InstanceEvents>(name: Name, listener: (event: InstanceEvents[Name]) => unknown): this;
  /** Adds a listener for only the next event of this name. */
  once<Name extends keyof InstanceEvents>(
    name: Name,
    listener: (event: InstanceEvents[Name]) => unknown,
  ): this;
  /** Removes a listener. */
  off<Name extends keyof InstanceEvents>(
    name: Name,
    listener: (event: InstanceEvents[Name]) => unknown,
  ): this;
}

/**
 * Creates an instance. Nothing is read, opened or started before {@link Instance.start}.
 *
 * @typeParam Message the type of a message: a JSON value
 * @typeParam Cursor the type of a cursor: a JSON value
 * @throws a `TypeError` that names unknown options, or the methods that the logger lacks
 */
export function createInstance<Message = unknown, Cursor = unknown>(
  options: CreateInstanceOptions<Message, Cursor> = {},
): Instance {
  checkOptions(options);
  const { task, env = process.env, logger } = options;
  return new EmbeddedInstance({ task, env, logger, metrics: true });
}
