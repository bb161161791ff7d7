/** One duration of an election, for the code and for the table in docs/configuration.md. */
export interface Timing {
  /** Milliseconds. */
  readonly ms: number;
  /** How it follows from LEASE_TTL_MS (T), and why it is what it is. */
  readonly reason: string;
}

/**
 * Every duration that leadership is made of, from the lease's time to live. Pure.
 *
 * @param ttlMs LEASE_TTL_MS, in milliseconds
 */
export function timingsOf(ttlMs: number) {
  const margin = Math.max(ttlMs / 20, 5);
  return {
    renewalInterval: { ms: ttlMs / 3, reason: 'T/3: two renewals can fail before the lease expires' },
    renewalRetry: { ms: ttlMs / 30, reason: 'T/30: pause after a renewal without an answer' },
    leaseCommandTimeout: {
      ms: Math.max(50, Math.floor(ttlMs / 4)),
      reason:
        'T/4, at least 50 ms: shorter than the renewal interval, long enough for a Redis with a busy disk',
    },
    trust: {
      ms: ttlMs - margin,
      reason:
        'T less T/20 (at least 5 ms): counted from the start of the last successful renewal; then the leader stops',
    },
    renewalLate: { ms: ttlMs / 2, reason: 'T/2: a leader that has not renewed for so long is not ready' },
    leasePoll: {
      ms: ttlMs / 3,
      reason:
        'T/3, spread by a quarter: how often a follower asks when a lease expires, and again when it does',
    },
    endOfTerm: {
      ms: 1000,
      reason: 'longest wait for the work of a term to end before the lease is released',
    },
    failurePause: { ms: 1000, reason: 'pause after a term that failed, doubled for each failure in a row' },
    maxFailurePause: { ms: 60_000, reason: 'longest pause after failures in a row' },
    handoverPause: { ms: 1000, reason: 'how long an instance that handed a role over leaves it to others' },
  } as const satisfies Record<string, Timing>;
}

export type Timings = ReturnType<typeof timingsOf>;

/** Durations that do not depend on LEASE_TTL_MS, in milliseconds. */
export const WATCH_TIMINGS = {
  /** Pause between two looks at the leaders' presence, spread so that followers look at different times. */
  presencePoll: { min: 130, max: 230 },
  /** Pause before the look that confirms an absence. */
  confirmation: 30,
  /** How long to go without reading who leads, should an announcement have been missed. */
  refreshInterval: 3000,
  /** Spread of followers that all hear of the same vacancy. */
  campaignJitter: 15,
  /** How much later an instance campaigns for each role that it holds already. */
  delayPerRole: 15,
  /** How much later than for a generator an instance campaigns for the keeper's role. */
  keeperDelay: 25,
  /** How much later those campaign who were not named as the successor. */
  notNamedDelay: 150,
} as const;
