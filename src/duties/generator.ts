import type { Telemetry } from 'bullmq';
import type { Config } from '../config';
import { batchLimits } from '../generating/batch';
import { Committer } from '../generating/committer';
import { generateMessages } from '../generating/generator';
import { JOB_NAME, type Keys } from '../keys';
import type { Term } from '../leadership/options';
import type { GeneratorRole } from '../leadership/role';
import type { Logger } from '../logger';
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

/** What a generator is doing: `finished` when `generate` has returned. */
export type GeneratingState = 'generating' | 'finished' | 'paused';

/** What an instance does while it leads a source: it runs the task's `generate` and commits what that yields. */
export class GeneratorDuty {
  readonly #options: GeneratorDutyOptions;
  #state: GeneratingState = 'generating';
  #committer: Committer | undefined;

  constructor(options: GeneratorDutyOptions) {
    this.#options = options;
  }

  get state(): GeneratingState {
    return this.#state;
  }

  /** How long a commit has been waiting for an answer, in milliseconds; 0 if none is. */
  get waitingMs(): number {
    return this.#committer?.waitingMs ?? 0;
  }

  /** What somebody has to repair in Redis before anything can be committed. */
  get problem(): string | undefined {
    return this.#committer?.problem;
  }

  /** The work of one term. Resolves when nothing is left to generate or the term is over, and rejects when generating fails. */
  async lead(term: Term): Promise<void> {
    const { role, connections, keys, task, config, telemetry } = this.#options;
    const logger = this.#options.logger.child({
      term: term.number,
      ...(role.source && { source: role.source }),
    });
    this.#state = 'generating';
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
    try {
      await generateMessages({
        ...{ task, source: role.source, committer, signal: term.signal, logger },
        limits: batchLimits(config.leaseTtlMs),
        commitMaxMessages: config.commitMaxMessages,
      });
      this.#state = 'finished';
    } finally {
      this.#committer = undefined;
    }
  }
}
