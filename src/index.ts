/**
 * The package's main entry: the types of a task, and an instance that runs inside another program's process.
 *
 * @module index
 */
import { provideRedis } from './redis/resolve';
import { type Environment, resolveConfig } from './config';
import { runInstance } from './instance';
import { createLogger } from './logger';
import { createDemoTask, describeDemo } from './tasks/demo';
import { checkTask, loadTask } from './tasks/load';
import { resolveSources } from './tasks/sources';
import { generates, type Task } from './tasks/task';
import type { Traces } from './tracing';

export type { Environment } from './config';
export type { Logger } from './logger';
export type { Batch, GenerateContext, HandleContext, Task } from './tasks/task';

/** What {@link createInstance} takes. Every option has a default. */
export interface CreateInstanceOptions<Message = unknown, Cursor = unknown> {
  /** What the instance generates and handles. Default: the module that TASK in `env` names, or else the demo. */
  readonly task?: Task<Message, Cursor>;
  /**
   * The settings, by the names that docs/configuration.md lists with their units and defaults. It replaces the process's
   * environment as a whole, and no `.env` is read. Default: `process.env`.
   */
  readonly env?: Environment;
}

/**
 * An instance in this process: the same as one that `npm start` runs. It installs no signal handlers and never ends the
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
   * Hands leadership over, waits up to `SHUTDOWN_TIMEOUT_MS` (10,000 ms by default) for active messages, and closes every
   * connection. A message that is still active then is redelivered to another instance. It can be called at any time, also
   * before `start`, and more than once; every call returns the same promise.
   */
  stop(): Promise<void>;
}

/**
 * Creates an instance. Nothing is read, opened or started before {@link Instance.start}.
 *
 * @typeParam Message what one message is: a JSON value
 * @typeParam Cursor where generating stands: a JSON value
 */
export function createInstance<Message = unknown, Cursor = unknown>(
  options: CreateInstanceOptions<Message, Cursor> = {},
): Instance {
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  let running: { stop(): Promise<void> } | undefined;
  let traces: Traces | undefined;

  async function start(): Promise<void> {
    const config = resolveConfig(options.env ?? process.env);
    const logger = createLogger(config);
    const task = await chooseTask();
    const sources = generates(task) ? await resolveSources(config.sources, task) : undefined;
    traces = config.traces ? (await import('./tracing.js')).openTraces(logger) : undefined;
    const redis = await provideRedis(config, logger);
    const run = () => runInstance({ config, redis, task, sources, telemetry: traces?.telemetry, logger });
    running = await (traces?.detached(run) ?? run());
    if (options.task === undefined && config.task === undefined) logger.info(describeDemo(config.demo));

    async function chooseTask(): Promise<Task> {
      if (options.task !== undefined) {
        checkTask(options.task);
        return options.task;
      }
      return config.task === undefined ? createDemoTask(config.demo) : loadTask(config.task);
    }
  }

  async function stop(): Promise<void> {
    await starting?.catch(() => undefined);
    await running?.stop();
    await traces?.flush();
  }

  return {
    start: () => (starting ??= stopping === undefined ? start() : Promise.resolve()),
    stop: () => (stopping ??= stop()),
  };
}
