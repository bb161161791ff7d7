/** One duration of an election, used by the code and by the table in docs/configuration.md. */
export interface Timing {
  /** Milliseconds. */
  readonly ms: number;
  /** How it is derived from LEASE_TTL_MS (T), and why it has this value. */
  readonly reason: string;
}

/**
 * Derives every duration of leadership from the lease's time to live.
 *
 * @param ttlMs LEASE_TTL_MS, in milliseconds
 */
export function timingsOf(ttlMs: number) {
  const margin = Math.max(ttlMs / 20, 5);
  return {
    renewalInterval: {
      ms: ttlMs / 3,
      reason:
        'T/3: two renewals can fail before the lease expires; all leases of an instance share a round trip',
    },
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
        'T/3 for each role that the instance campaigns for, spread by a quarter: how often it campaigns without cause',
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

/** Durations that do not depend on LEASE_TTL_MS. */
const WATCH = {
  presencePollMin: {
    ms: 175,
    reason:
      'shortest pause between two checks whether leaders are connected, the same for any number of them',
  },
  presencePollMax: {
    ms: 285,
    reason: 'longest such pause: random, so that followers check at different times',
  },
  confirmation: {
    ms: 15,
    reason: 'pause before the check that confirms that a leader is gone: it could have reconnected',
  },
  refreshInterval: {
    ms: 3000,
    reason: 'how long to go without reading who leads, in case an announcement was lost',
  },
  campaignJitter: { ms: 15, reason: 'spread of followers that hear of the same vacancy' },
  delayPerRole: {
    ms: 15,
    reason: 'how much later an instance campaigns for each role that it holds already',
  },
  keeperDelay: {
    ms: 25,
    reason: "how much later an instance campaigns for the keeper's role than for a generator's",
  },
  notNamedDelay: { ms: 175, reason: 'how much later those campaign who were not named as the successor' },
  balancePoll: { ms: 2500, reason: 'pause between two checks of a leader whether roles are spread evenly' },
  stability: {
    ms: 3000,
    reason: 'how long membership must be unchanged before a role is handed over for balance',
  },
  betweenMoves: { ms: 400, reason: 'pause after handing roles over for balance' },
} as const satisfies Record<string, Timing>;

type Milliseconds = { readonly [name in keyof typeof WATCH]: number };

/** The same durations, in milliseconds. */
export const WATCH_TIMINGS = Object.fromEntries(
  Object.entries(WATCH).map(([name, { ms }]) => [name, ms]),
) as Milliseconds;

/** Lists every duration for the table in docs/configuration.md, with names written as words. */
export function durationsOf(ttlMs: number): (Timing & { name: string })[] {
  return Object.entries({ ...timingsOf(ttlMs), ...WATCH }).map(([name, { ms, reason }]) => ({
    name: name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
    ms: Math.round(ms),
    reason,
  }));
}
