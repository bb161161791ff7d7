import type { Clock } from '../time';

/**
 * Until when a leadership is believed: the start of the last successful acquire or extend, plus the lease's time to
 * live, less a margin. On the monotonic clock: the wall clock may step.
 */
export class TrustDeadline {
  readonly #clock: Clock;
  readonly #trustMs: number;
  readonly #lateMs: number;
  #deadline: number;

  constructor(clock: Clock, ttlMs: number, acquiredAt: number) {
    this.#clock = clock;
    // The margin covers clocks of different speed, and the time it takes to stop.
    this.#trustMs = ttlMs - Math.max(ttlMs / 20, 5);
    this.#lateMs = this.#trustMs - ttlMs / 2;
    this.#deadline = acquiredAt + this.#trustMs;
  }

  renewed(startedAt: number): void {
    this.#deadline = startedAt + this.#trustMs;
  }

  remainingMs(): number {
    return this.#deadline - this.#clock.now();
  }

  /** Renewals are due every third of the time to live; half of it has passed without one. */
  get isLate(): boolean {
    return this.remainingMs() < this.#lateMs;
  }
}
