import type { Redis } from 'ioredis';
import Redlock, { ExecutionError, Lock, ResourceLockedError } from 'redlock';
import { withDeadline } from '../time';

/**
 * The time-bounded right to be leader. Ordinary outcomes are values; a rejection means that too few nodes gave a
 * usable answer, so that nothing is known.
 */
export interface Lease {
  acquire(): Promise<Acquired | Refused>;
}

export interface Acquired {
  readonly held: HeldLease;
}

export interface Refused {
  readonly held?: undefined;
  /** Somebody else holds it, for so many more milliseconds if it is not renewed. */
  readonly heldForMs: number;
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
export class RedisLease implements Lease {
  readonly #nodes: readonly Redis[];
  readonly #key: string;
  readonly #ttlMs: number;
  readonly #redlock: Redlock;
  readonly #quorum: number;
  // Redlock never settles when an even number of nodes is divided: each call has a deadline of its own.
  readonly #deadlineMs: number;

  constructor({ nodes, key, ttlMs }: LeaseOptions) {
    this.#nodes = nodes;
    this.#key = key;
    this.#ttlMs = ttlMs;
    this.#redlock = new Redlock(nodes, { retryCount: 0 });
    this.#quorum = Math.floor(nodes.length / 2) + 1;
    this.#deadlineMs = leaseTimeoutMs(ttlMs) * 2;
  }

  async acquire(): Promise<Acquired | Refused> {
    // A failed acquire costs a second script, which releases. A look first keeps idle followers cheap, and tells
    // when to come again.
    const heldForMs = await this.#heldForMs();
    if (heldForMs > 0) return { heldForMs };
    const attempt = this.#redlock.acquire([this.#key], this.#ttlMs);
    try {
      return { held: this.#hold(await withDeadline(attempt, this.#deadlineMs, 'acquiring the lease')) };
    } catch (error) {
      // Should it succeed after all, nobody would know of it until it expires.
      attempt.then((lock) => lock.release()).catch(() => undefined);
      if (await this.#refused(error)) return { heldForMs: this.#ttlMs };
      throw error;
    }
  }

  /** The secret of whoever holds the lease now; undefined if nobody does. */
  async holder(): Promise<string | undefined> {
    const values = await this.#ask((node) => node.get(this.#key));
    return (
      values.find(
        (value) => value !== null && values.filter((other) => other === value).length >= this.#quorum,
      ) ?? undefined
    );
  }

  /** Takes the lease from the holder with this secret, who is known to be gone. Nothing happens if another has it. */
  async evict(secret: string): Promise<void> {
    await this.#release(new Lock(this.#redlock, [this.#key], secret, [], 0));
  }

  #hold(lock: Lock): HeldLease {
    return {
      extend: async () => {
        // Redlock refuses to extend what it believes expired by wall-clock time, which steps. The nodes know best:
        // the script extends nothing that is not ours any more.
        lock.expiration = Number.MAX_SAFE_INTEGER;
        try {
          lock = await withDeadline(
            this.#redlock.extend(lock, this.#ttlMs),
            this.#deadlineMs,
            'extending the lease',
          );
          return 'extended';
        } catch (error) {
          if (await this.#refused(error)) return 'lost';
          throw error;
        }
      },
      release: () => this.#release(lock),
    };
  }

  async #release(lock: Lock): Promise<void> {
    try {
      await withDeadline(this.#redlock.release(lock), this.#deadlineMs, 'releasing the lease');
    } catch (error) {
      if (!(await this.#refused(error))) throw error;
    }
  }

  /** Milliseconds until a majority of nodes is free, if nobody renews; 0 if it is now. */
  async #heldForMs(): Promise<number> {
    const remaining = await this.#ask((node) => node.pttl(this.#key));
    // -2: no such key. -1: a key that never expires was not written by us, and is waited for like any other.
    const waits = remaining.map((ms) => (ms === -2 ? 0 : ms === -1 ? this.#ttlMs : Math.max(ms, 1)));
    return waits.sort((a, b) => a - b)[this.#quorum - 1]!;
  }

  /** The answers of the nodes that answer. Rejects when they are no majority. */
  async #ask<T>(question: (node: Redis) => Promise<T>): Promise<T[]> {
    const answers = await Promise.allSettled(this.#nodes.map(question));
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    if (given.length >= this.#quorum) return given;
    throw (
      answers.find((answer) => answer.status === 'rejected')?.reason ?? new Error('no lease node answered')
    );
  }

  /** Whether a majority of nodes answered that the lease is another's; otherwise too few answered at all. */
  async #refused(error: unknown): Promise<boolean> {
    if (!(error instanceof ExecutionError)) return false;
    const votes = await error.attempts.at(-1);
    const against = [...(votes?.votesAgainst.values() ?? [])];
    return against.filter((vote) => vote instanceof ResourceLockedError).length >= this.#quorum;
  }
}

/**
 * How long one command to a lease node may take, in milliseconds. Less than the time between renewals, and no less than it
 * has to be: where every write waits for a busy disk, a lease that is got too late for its asker is nobody's, and with
 * each attempt anew.
 */
export function leaseTimeoutMs(ttlMs: number): number {
  return Math.max(50, Math.floor(ttlMs / 4));
}
