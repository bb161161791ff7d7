import type { Clock } from '../time';
import { timingsOf } from './timings';

/**
 * Until when a leadership is believed: the start of the last successful acquire or extend, plus the lease's time to
 * live, less a margin for clocks of different speed and for the time it takes to stop. On the monotonic clock: the wall
 * clock can step.
 */
export class TrustDeadline {
  readonly #clock: Clock;
  readonly #trustMs: number;
  readonly #lateMs: number;
  #renewedAt: number;

  constructor(clock: Clock, ttlMs: number, acquiredAt: number) {
    const { trust, renewalLate } = timingsOf(ttlMs);
    this.#clock = clock;
    this.#trustMs = trust.ms;
    this.#lateMs = renewalLate.ms;
    this.#renewedAt = acquiredAt;
  }

  renewed(startedAt: number): void {
    this.#renewedAt = startedAt;
  }

  remainingMs(): number {
    return this.#renewedAt + this.#trustMs - this.#clock.now();
  }

  /** Milliseconds since the last successful renewal was begun. */
  sinceRenewalMs(): number {
    return this.#clock.now() - this.#renewedAt;
  }

  /** Renewals are due every third of the time to live; half of it has passed without one. */
  get isLate(): boolean {
    return this.sinceRenewalMs() > this.#lateMs;
  }
}
