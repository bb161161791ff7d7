import type { Telemetry } from 'bullmq';
import type { Config } from '../configuration/config';
import { batchLimits } from '../generating/batch';
import { Committer } from '../generating/committer';
import { generateMessages } from '../generating/generator';
import type { Pause } from '../generating/pause';
import { PauseState } from '../generating/pauseState';
import { JOB_NAME, type Keys } from '../keys';
import type { Term } from '../leadership/options';
import type { GeneratorRole } from '../leadership/role';
import { type Logger, taskLogger } from '../logging/logger';
import type { Connections } from '../redis/connections';
import { jobOptions } from '../redis/queue';
import type { GeneratingTask } from '../tasks/task';

export interface GeneratorDutyOptions {
  readonly role: GeneratorRole;
  readonly connections: Pick<Connections, 'commit'>;
  readonly keys: Keys;
  readonly task: GeneratingTask;
  readonly config: Config;
  readonly telemetry: Telemetry | undefined;
  readonly logger: Logger;
}

/**
 * State of a generator. `finished`: `generate` has returned. `failed`: data in Redis is invalid, so nothing can be
 * committed.
 */
export type GeneratingState = 'generating' | 'finished' | 'paused' | 'failed';

/** What an instance does while it leads a source: it runs the task's `generate` and commits what it yields. */
export class GeneratorDuty {
  readonly #options: GeneratorDutyOptions;
  #isFinished = false;
  #committer: Committer | undefined;
  #pauses: PauseState | undefined;

  constructor(options: GeneratorDutyOptions) {
    this.#options = options;
  }

  get state(): GeneratingState {
    if (this.#isFinished) return 'finished';
    if (this.problem !== undefined) return 'failed';
    return this.#pauses?.pause === undefined ? 'generating' : 'paused';
  }

  /** Records whether generation is paused now, if this instance generates. */
  heardPause(pause: Pause | undefined): void {
    this.#pauses?.heard(pause);
  }

  /** How long the pending commit has waited for an answer, in milliseconds; 0 if no commit is pending. */
  get waitingMs(): number {
    return this.#committer?.waitingMs ?? 0;
  }

  /** What must be repaired in Redis before anything can be committed. */
  get problem(): string | undefined {
    return this.#committer?.problem;
  }

  /**
   * The work of one term. Resolves when nothing is left to generate or the term is over; rejects when generation fails.
   */
  async lead(term: Term): Promise<void> {
    const { role, connections, keys, task, config, telemetry } = this.#options;
    const logger = taskLogger(this.#options.logger, {
      term: term.number,
      ...(role.source && { source: role.source }),
    });
    this.#isFinished = false;
    const committer = new Committer({
      connect: () => connections.commit(),
      keys,
      source: role.keys,
      sourceName: role.source,
      jobName: role.source ?? JOB_NAME,
      instance: config.instanceName,
      term,
      jobOptions: jobOptions(config),
      maxBacklog: config.maxBacklog,
      telemetry,
      logger,
    });
    this.#committer = committer;
    const pauses = (this.#pauses = new PauseState(logger));
    try {
      await generateMessages({
        ...{ task, source: role.source, committer, pauses, signal: term.signal, logger },
        limits: batchLimits(config.leaseTtlMs),
        commitMaxMessages: config.commitMaxMessages,
      });
      this.#isFinished = true;
    } finally {
      this.#committer = undefined;
      this.#pauses = undefined;
    }
  }
}
