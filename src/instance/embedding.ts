import type { ErrorRecord } from '../errorLog/record';
import { HostEvents, type Listener } from './events';
import { type Environment, resolveConfig } from '../configuration/config';
import { type RunningInstance, runInstance } from './instance';
import { load } from './load';
import { hostLogger, type HostLogger, missingMethods } from '../logging/logger';
import { provideRedis } from '../redis/resolve';
import { findMisspelt } from '../configuration/settingNames';
import type { InstanceEvents, Readiness, Status } from './shapes';
import { createDemoTask, describeDemo } from '../tasks/demo';
import { checkTask, loadTask } from '../tasks/load';
import { resolveSources } from '../tasks/sources';
import { generates, type Task } from '../tasks/task';
import type { Traces } from '../tracing';

export interface EmbeddedOptions {
  readonly task?: Task | undefined;
  readonly env: Environment;
  readonly logger?: HostLogger | undefined;
  /** Whether metrics are collected even without a board. */
  readonly metrics: boolean;
}

const OPTIONS = ['task', 'env', 'logger'];

/** @throws TypeError stating what is wrong and what was expected */
export function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null)
    throw new TypeError(
      `createInstance got ${options === null ? 'null' : typeof options}, expected an object with ${OPTIONS.join(', ')}`,
    );
  const unknown = Object.keys(options).filter((name) => !OPTIONS.includes(name));
  if (unknown.length > 0) {
    const names = unknown.map((name) => JSON.stringify(name)).join(', ');
    throw new TypeError(
      `createInstance got the unknown option${unknown.length > 1 ? 's' : ''} ${names}, expected only ${OPTIONS.join(', ')}`,
    );
  }
  const { logger } = options as { logger?: unknown };
  const missing = logger === undefined ? [] : missingMethods(logger);
  if (missing.length > 0) {
    const names = missing.join(', ');
    throw new TypeError(
      `createInstance got a logger without ${names}, expected the methods error, warn, info and debug`,
    );
  }
}

/** An instance that can be started once, and queried at any time. */
export class EmbeddedInstance {
  readonly #options: EmbeddedOptions;
  readonly #events = new HostEvents();
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #running: RunningInstance | undefined;
  #traces: Traces | undefined;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    return (this.#starting ??= this.#stopping === undefined ? this.#start() : Promise.resolve());
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  get isLeader(): boolean {
    return this.#running?.isLeader ?? false;
  }

  health(): boolean {
    return this.#running?.isHealthy() ?? false;
  }

  async readiness(): Promise<Readiness> {
    if (this.#running !== undefined) return this.#running.readiness();
    return { ready: false, checks: { instance: this.#idleState } };
  }

  async metrics(): Promise<string> {
    return (await this.#running?.metrics()) ?? '';
  }

  async status(): Promise<Status> {
    return this.#required().status();
  }

  async *errors(): AsyncGenerator<ErrorRecord, void, undefined> {
    yield* this.#required().errors();
  }

  async fetch(request: Request): Promise<Response> {
    if (this.#running !== undefined) return this.#running.fetch(request);
    return new Response(`The instance ${this.#idleState}.`, { status: 503 });
  }

  on<Name extends keyof InstanceEvents>(name: Name, listener: Listener<Name>): this {
    this.#events.on(name, listener);
    return this;
  }

  once<Name extends keyof InstanceEvents>(name: Name, listener: Listener<Name>): this {
    this.#events.once(name, listener);
    return this;
  }

  off<Name extends keyof InstanceEvents>(name: Name, listener: Listener<Name>): this {
    this.#events.off(name, listener);
    return this;
  }

  get #idleState(): string {
    return this.#stopping === undefined ? 'has not started' : 'has been stopped';
  }

  #required(): RunningInstance {
    if (this.#running !== undefined) return this.#running;
    throw new Error(
      this.#stopping === undefined
        ? 'the instance has not started: wait for start() first'
        : 'the instance has been stopped: create a new one',
    );
  }

  async #start(): Promise<void> {
    const { env, logger: host, metrics } = this.#options;
    const config = resolveConfig(env);
    const root = host === undefined ? load.ownLogger().createOwnLogger(config) : hostLogger(host);
    const logger = root.child({ namespace: config.namespace });
    this.#events.logger = logger;
    for (const { name, meant } of findMisspelt(env))
      logger.warn(`${name} is set, but there is no such setting; did you mean ${meant}?`);
    const task = await this.#chooseTask(config);
    const sources = generates(task) ? await resolveSources(config.sources, task) : undefined;
    const traces = config.traces ? load.tracing().openTraces(logger) : undefined;
    this.#traces = traces;
    const redis = await provideRedis(config, logger);
    const hostEvents = this.#events;
    const run = () => runInstance({ config, redis, task, sources, traces, hostEvents, metrics, logger });
    this.#running = await (traces?.detached(run) ?? run());
    if (this.#options.task === undefined && config.task === undefined) logger.info(describeDemo(config.demo));
  }

  async #chooseTask({ task: path, demo }: ReturnType<typeof resolveConfig>): Promise<Task> {
    const { task } = this.#options;
    if (task !== undefined) {
      checkTask(task);
      return task;
    }
    return path === undefined ? createDemoTask(demo) : loadTask(path);
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    await this.#running?.stop();
    this.#running = undefined;
    await this.#traces?.flush();
  }
}
