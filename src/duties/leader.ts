import type { Queue, Telemetry } from 'bullmq';
import type { Config } from '../config';
import type { Connections } from '../redis/connections';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { StepDownCause, Term } from '../leadership/options';
import { DeadInstances } from '../membership/deadInstances';
import { forgetTheGone } from '../membership/registry';
import { markEnd } from '../leadership/term';
import type { Logger } from '../logger';
import { Committer } from '../generating/committer';
import { generateMessages } from '../generating/generator';
import { recordErrorsAside } from '../errorLog/recorderHost';
import { recordHistory } from '../group/samples';
import { jobOptions } from '../redis/queue';
import { redelivery } from '../handling/redelivery';
import type { RedisAddress } from '../redis/address';
import type { Task } from '../tasks/task';
import { sleep } from '../time';

export interface LeaderOptions {
  readonly connections: Connections;
  readonly queue: Queue;
  readonly address: RedisAddress;
  readonly keys: Keys;
  readonly task: Task;
  readonly config: Config;
  readonly telemetry: Telemetry | undefined;
  readonly logger: Logger;
}

/** How often the leader forgets instances that are long gone, in milliseconds. */
const SWEEP_MS = 10_000;

/** What an instance does while it leads, and only then: it generates, records errors and history, and redelivers. */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #chores = new Set<Promise<void>>();
  /** From the start on: whoever takes over must know who was there before. */
  readonly #deadInstances: DeadInstances;
  #listeners = 0;

  constructor(options: LeaderOptions) {
    this.#options = options;
    const { connections, keys } = options;
    this.#deadInstances = new DeadInstances({ client: connections.control, keys });
  }

  /** Whether failures are being listened to. A term that has just begun needs a moment for it. */
  get isListening(): boolean {
    return this.#listeners > 0;
  }

  /**
   * The work of one term. Resolves when nothing is left to generate or the term is over, and rejects when generating
   * fails. The chores end with the term as well, but stepping down does not wait for them: of those, two at a time do no
   * harm.
   */
  lead(term: Term): Promise<void> {
    const { connections, address, queue, keys, task, config, telemetry } = this.#options;
    const { control } = connections;
    const { signal } = term;
    const logger = this.#options.logger.child({ term: term.number });
    this.#startChores([
      recordErrorsAside({
        address,
        namespace: config.namespace,
        // Counted: that of the term before may still be closing.
        onListening: (listening) => (this.#listeners += listening ? 1 : -1),
        signal,
        logger,
      }),
      redelivery({
        client: control,
        queue,
        keys,
        filterDead: (instances) => this.#deadInstances.filterDead(instances),
        onStall: config.onStall,
        logger,
      })({ signal, progress: () => undefined }),
      recordHistory({ client: control, keys, signal, logger }),
      this.#sweep(signal),
    ]);
    const committer = new Committer({
      connect: () => connections.commit(),
      keys,
      instance: config.instanceName,
      term,
      jobOptions: jobOptions(config),
      maxBacklog: config.maxBacklog,
      telemetry,
      logger,
    });
    return generateMessages({ task, committer, signal, logger });
  }

  /** Tells whoever leads next that this term ended in order. Other ends are not for the one who was deposed to tell. */
  markEnd(term: number, cause: StepDownCause): void {
    if (cause !== 'stopped' && cause !== 'failed') return;
    const { connections, keys, config, logger } = this.#options;
    const note = cause === 'failed' ? { note: 'generating failed' } : {};
    const end = { instance: config.instanceName, term, cause: 'hand-over', ...note, agoMs: 0 } as const;
    // Not waited for: the announcement follows on the same connection.
    markEnd(connections.control, keys, end).catch((error: unknown) =>
      logger.debug('the hand-over is not on record', { error: toError(error) }),
    );
  }

  /** Resolves when the chores of all terms that are over have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#chores);
  }

  #startChores(chores: readonly Promise<void>[]): void {
    for (const chore of chores) {
      this.#chores.add(chore);
      void chore.finally(() => this.#chores.delete(chore));
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { connections, keys, logger } = this.#options;
    while (!signal.aborted) {
      await sleep(SWEEP_MS, signal);
      await forgetTheGone(connections.control, keys).catch((error: unknown) =>
        logger.debug('not swept', { error: toError(error) }),
      );
    }
  }
}
