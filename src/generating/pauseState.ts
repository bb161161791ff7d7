import type { Logger } from '../logging/logger';
import { sleep } from '../time';
import type { Pause } from './pause';

/** What a generator knows about the pause of its source. A change wakes whatever waits for the pause to end. */
export class PauseState {
  readonly #logger: Pick<Logger, 'info'>;
  #pause: Pause | undefined;
  #wake = new AbortController();

  constructor(logger: Pick<Logger, 'info'>) {
    this.#logger = logger;
  }

  /** Undefined unless generation is paused. */
  get pause(): Pause | undefined {
    return this.#pause;
  }

  /** @param pause what Redis holds now; undefined: generation is not paused */
  heard(pause: Pause | undefined): void {
    if ((pause === undefined) === (this.#pause === undefined)) return;
    this.#pause = pause;
    if (pause !== undefined) this.#logger.info('generation is paused; "resume" continues it', { ...pause });
    else this.#logger.info('generation continues');
    this.#wake.abort();
  }

  /** Waits for a change, for at most `ms` milliseconds. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    this.#wake = new AbortController();
    await sleep(ms, signal, this.#wake.signal);
  }
}
