/**
 * What the package offers to other programs: the types of a task, and an instance to run inside a process of theirs.
 *
 * @module
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

export interface CreateInstanceOptions<Message = unknown, Cursor = unknown> {
  /** Default: the module that TASK in `env` names, or else the demo. */
  readonly task?: Task<Message, Cursor>;
  /** In place of the process's environment; the variables are those of the program. Default `process.env`. */
  readonly env?: Environment;
}

/** An instance in this process. Installs no signal handlers and never ends the process. */
export interface Instance {
  /**
   * Resolves once messages are handled. Called again, the same promise.
   *
   * @throws AppError naming what is wrong: with the configuration, the task, or Redis
   */
  start(): Promise<void>;
  /** Gives leadership away, finishes the message in hand and closes everything. May be called at any time, and again. */
  stop(): Promise<void>;
}

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
