import type { Redis } from 'ioredis';
import Redlock, { ExecutionError, type Lock, ResourceLockedError } from 'redlock';
import { withDeadline } from '../time';

/**
 * The time-bounded right to be leader. Ordinary outcomes are values; a rejection means that Redis gave no usable
 * answer, so that nothing is known.
 */
export interface Lease {
  /** Undefined while somebody else holds it. */
  acquire(): Promise<HeldLease | undefined>;
}

export interface HeldLease {
  /** `lost`: Redis says that it is no longer ours. */
  extend(): Promise<'extended' | 'lost'>;
  /** Gives it back, if it is still ours. */
  release(): Promise<void>;
}

export interface LeaseOptions {
  /** Independent Redis nodes; a majority decides. */
  readonly nodes: readonly Redis[];
  readonly key: string;
  readonly ttlMs: number;
}

/**
 * A Redlock lease. Redlock's own loop (`using`) is not taken: with Redis frozen it notices seconds late, and it
 * decides by wall-clock time. Here each call is a single attempt; when to call is the election's business.
 */
export function createLease({ nodes, key, ttlMs }: LeaseOptions): Lease {
  const redlock = new Redlock(nodes, { retryCount: 0 });
  const quorum = Math.floor(nodes.length / 2) + 1;
  // Redlock never settles when an even number of nodes is divided: each call has a deadline of its own.
  const deadlineMs = leaseTimeoutMs(ttlMs) * 2;

  return {
    async acquire() {
      // A failed acquire costs a second script, which releases. A look first keeps idle followers cheap.
      const taken = await Promise.allSettled(nodes.map((node) => node.exists(key)));
      if (taken.filter((node) => node.status === 'fulfilled' && node.value === 1).length >= quorum)
        return undefined;
      const attempt = redlock.acquire([key], ttlMs);
      try {
        return hold(await withDeadline(attempt, deadlineMs, 'acquiring the lease'));
      } catch (error) {
        // Should it succeed after all, nobody would know of it until it expires.
        attempt.then((lock) => lock.release()).catch(() => undefined);
        if (await refused(error, quorum)) return undefined;
        throw error;
      }
    },
  };

  function hold(lock: Lock): HeldLease {
    return {
      async extend() {
        // Redlock refuses to extend what it believes expired by wall-clock time, which steps. The nodes know best:
        // the script extends nothing that is not ours any more.
        lock.expiration = Number.MAX_SAFE_INTEGER;
        try {
          lock = await withDeadline(redlock.extend(lock, ttlMs), deadlineMs, 'extending the lease');
          return 'extended';
        } catch (error) {
          if (await refused(error, quorum)) return 'lost';
          throw error;
        }
      },
      async release() {
        try {
          await withDeadline(redlock.release(lock), deadlineMs, 'releasing the lease');
        } catch (error) {
          if (!(await refused(error, quorum))) throw error;
        }
      },
    };
  }
}

/** How long one command to a lease node may take, in milliseconds: several fit into the time between renewals. */
export function leaseTimeoutMs(ttlMs: number): number {
  return Math.max(50, Math.floor(ttlMs / 10));
}

/** Whether a majority of nodes answered that the lease is another's; otherwise too few answered at all. */
async function refused(error: unknown, quorum: number): Promise<boolean> {
  if (!(error instanceof ExecutionError)) return false;
  const votes = await error.attempts.at(-1);
  const against = [...(votes?.votesAgainst.values() ?? [])];
  return against.filter((vote) => vote instanceof ResourceLockedError).length >= quorum;
}
