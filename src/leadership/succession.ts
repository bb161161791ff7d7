import type { Clock } from '../time';

/**
 * How leadership came to this instance from another term: the leader's process was gone, its lease ran out, or it was
 * given away.
 */
export type SuccessionCause = 'crash' | 'silence' | 'handover';

/** What this instance has seen of the leader's end, kept until a campaign is won: by whom, nobody else can say. */
export class Succession {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #ttlMs: number;
  #seen: { readonly cause: 'crash' | 'handover'; readonly at: number } | undefined;
  #hasFollowed = false;

  constructor(clock: Pick<Clock, 'now'>, ttlMs: number) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
  }

  /** The leader's process is gone, or it has given leadership away. */
  saw(cause: 'crash' | 'handover'): void {
    this.#seen = { cause, at: this.#clock.now() };
  }

  /** Somebody else leads: what was seen was the end of a leader before that one. */
  follow(): void {
    this.#hasFollowed = true;
  }

  /** Another instance has been elected. */
  forget(): void {
    this.#hasFollowed = true;
    this.#seen = undefined;
  }

  /** To be asked once, when a term is won. Undefined for who found nobody leading when it started. */
  cause(): SuccessionCause | undefined {
    const seen = this.#seen;
    const hasFollowed = this.#hasFollowed;
    this.#seen = undefined;
    this.#hasFollowed = true;
    // By then the lease would have run out by itself: what was seen longer ago did not bring it about.
    if (seen !== undefined && this.#clock.now() - seen.at < this.#ttlMs) return seen.cause;
    return hasFollowed ? 'silence' : undefined;
  }
}
