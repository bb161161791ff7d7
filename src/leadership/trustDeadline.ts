import type { Clock } from '../time';
import { timingsOf } from './timings';

/**
 * The time until which a leader trusts its lease: the start of the last successful acquire or extend, plus the lease's
 * time to live, less a margin for clock drift and for the time it takes to stop. It uses the monotonic clock, because
 * the wall clock can jump.
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

  /** Milliseconds since the start of the last successful renewal. */
  sinceRenewalMs(): number {
    return this.#clock.now() - this.#renewedAt;
  }

  /** Whether half of the time to live has passed without a renewal; renewals are due every third. */
  get isLate(): boolean {
    return this.sinceRenewalMs() > this.#lateMs;
  }
}
