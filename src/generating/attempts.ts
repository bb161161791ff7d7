import { DeposedError, toError } from '../errors';
import type { Logger } from '../logging/logger';
import { sleep } from '../time';
import { StateError } from './position';

/** A commit that is unanswered for this long is logged, in milliseconds. */
const SLOW_MS = 3000;
/** Longest pause between attempts: while Redis does not answer, and while invalid data in Redis awaits repair. */
const MAX_PAUSE_MS = { redis: 500, state: 2000 };

/** Repeats the Redis operations of a commit until the term ends, and tracks what the commit is waiting for. */
export class Attempts {
  readonly #term: { readonly number: number; readonly signal: AbortSignal };
  readonly #logger: Logger;
  readonly #onFailure: () => void;
  #waitingSince: number | undefined;
  #problem: string | undefined;
  #reported: string | undefined;
  #wasRefused = false;

  /** @param onFailure called after each failed attempt: the connection must not be used again */
  constructor(
    term: { readonly number: number; readonly signal: AbortSignal },
    logger: Logger,
    onFailure: () => void,
  ) {
    this.#term = term;
    this.#logger = logger;
    this.#onFailure = onFailure;
  }

  /** How long the pending answer has been awaited, in milliseconds; 0 if none is pending. */
  get waitingMs(): number {
    return this.#waitingSince === undefined ? 0 : performance.now() - this.#waitingSince;
  }

  /** What must be repaired in Redis before an attempt can succeed. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether the last attempt ended with an error reply, for example because of the type of a key. */
  get wasRefused(): boolean {
    return this.#wasRefused;
  }

  /** Repeats `attempt` until it gets an answer. Rejects with a DeposedError when the term is over. */
  async persist<T>(attempt: () => Promise<T>): Promise<T> {
    const { signal, number } = this.#term;
    this.#waitingSince = performance.now();
    const slow = setTimeout(() => this.#reportSlow(), SLOW_MS);
    try {
      for (let pause = 10; ; pause *= 2) {
        try {
          const result = await attempt();
          this.#reported = this.#problem = undefined;
          this.#wasRefused = false;
          return result;
        } catch (thrown) {
          this.#onFailure();
          const error = toError(thrown);
          if (error instanceof DeposedError) throw error;
          if (!signal.aborted) {
            this.#report(error);
            const longest = error instanceof StateError ? MAX_PAUSE_MS.state : MAX_PAUSE_MS.redis;
            await sleep(Math.min(pause, longest), signal);
          }
          if (signal.aborted) throw new DeposedError(`term ${number} is over`, { cause: error });
        }
      }
    } finally {
      clearTimeout(slow);
      this.#waitingSince = undefined;
    }
  }

  /** Logs each cause only once, because Redis might be unavailable for a long time. */
  #report(error: Error): void {
    const isState = error instanceof StateError;
    this.#problem = isState ? error.message : undefined;
    this.#wasRefused = isState || error.name === 'ReplyError';
    if (this.#reported === error.message) return;
    this.#reported = error.message;
    if (isState) this.#logger.error(error.message);
    else this.#logger.warn('a commit failed; checking whether it took effect', { error });
  }

  #reportSlow(): void {
    // After the event loop was blocked, the answer might already be there: timers run before sockets are read.
    setImmediate(() => {
      if (this.waitingMs < SLOW_MS || this.#problem !== undefined) return;
      this.#logger.warn(`Redis has not answered a commit for ${SLOW_MS / 1000} s; waiting for it`);
    });
  }
}
