import type { Logger } from '../logging/logger';
import { timingsOf } from './timings';

/** Number of unanswered campaigns in a row after which a warning is logged. */
const MAX_UNANSWERED = 3;

/** Counts the campaigns that Redis did not answer in time. A Redis too far away for LEASE_TTL_MS answers none. */
export class UnansweredCampaigns {
  readonly #ttlMs: number;
  readonly #logger: Logger;
  #inARow = 0;

  constructor(ttlMs: number, logger: Logger) {
    this.#ttlMs = ttlMs;
    this.#logger = logger;
  }

  reset(): void {
    this.#inARow = 0;
  }

  add(error: Error): void {
    this.#logger.debug('the lease cannot be acquired', { error });
    if (++this.#inARow !== MAX_UNANSWERED) return;
    const limitMs = Math.round(timingsOf(this.#ttlMs).leaseCommandTimeout.ms);
    this.#logger.warn(
      `no instance can be elected while Redis does not answer within ${limitMs} ms, a quarter of LEASE_TTL_MS; ` +
        `expected a Redis nearby, or a larger LEASE_TTL_MS`,
      { error },
    );
  }
}
