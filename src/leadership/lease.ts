import type { Redis } from 'ioredis';
import Redlock, { ExecutionError, Lock, ResourceLockedError } from 'redlock';
import { withDeadline } from '../time';
import { type Renewal, Renewals } from './renewals';
import { timingsOf } from './timings';

/**
 * The time-bounded right to a role. Ordinary outcomes are return values; a rejection means that too few nodes gave a
 * usable answer, so the state of the lease is unknown.
 */
export interface Lease {
  /** Milliseconds until the lease is free if its holder does not renew it; 0 if it is free. */
  heldForMs(): Promise<number>;
  /** Returns undefined if another instance was faster. */
  acquire(): Promise<HeldLease | undefined>;
}

export interface HeldLease {
  /** `lost`: Redis reports that this instance no longer holds the lease. */
  extend(): Promise<Renewal>;
  /** Releases the lease if this instance still holds it. */
  release(): Promise<void>;
}

export interface LeaseNodesOptions {
  /** Independent Redis nodes; a majority decides. */
  readonly nodes: readonly Redis[];
  readonly ttlMs: number;
}

/**
 * The Redlock leases of all roles, on the same nodes. The package's own loop (`using`) is not used: with Redis frozen
 * it notices seconds late, and it decides by wall-clock time. Here each call is a single attempt, and the election
 * decides when to call. The package's `extend` is not used either, because it renews one lease per round trip
 * (renewals.ts).
 */
export class LeaseNodes {
  readonly #nodes: readonly Redis[];
  readonly #ttlMs: number;
  readonly #redlock: Redlock;
  readonly #renewals: Renewals;
  readonly #quorum: number;
  // Redlock never settles when an even number of nodes is split, so each call has its own deadline.
  readonly #deadlineMs: number;

  constructor({ nodes, ttlMs }: LeaseNodesOptions) {
    this.#nodes = nodes;
    this.#ttlMs = ttlMs;
    this.#redlock = new Redlock(nodes, { retryCount: 0 });
    this.#quorum = Math.floor(nodes.length / 2) + 1;
    this.#deadlineMs = timingsOf(ttlMs).leaseCommandTimeout.ms * 2;
    this.#renewals = new Renewals({ nodes, ttlMs, deadlineMs: this.#deadlineMs });
  }

  /** Returns the lease that is stored under this key. */
  lease(key: string): Lease {
    return { heldForMs: () => this.heldForMs(key), acquire: () => this.#acquire(key) };
  }

  /** Returns the secret that each lease holds now; undefined for a free lease. Sends one command to each node. */
  async holders(keys: readonly string[]): Promise<(string | undefined)[]> {
    if (keys.length === 0) return [];
    const answers = await this.#ask((node) => node.mget(...keys));
    return keys.map((_, index) => {
      const secrets = answers.map((values) => values[index]);
      const held = secrets.find(
        (secret) => secret && secrets.filter((other) => other === secret).length >= this.#quorum,
      );
      return held ?? undefined;
    });
  }

  /** Milliseconds until a majority of nodes is free if nobody renews; 0 if a majority is free now. */
  async heldForMs(key: string): Promise<number> {
    const remaining = await this.#ask((node) => node.pttl(key));
    // -2: no such key. -1: the key never expires, so this program did not write it; wait for it like for any other.
    const waits = remaining.map((ms) => (ms === -2 ? 0 : ms === -1 ? this.#ttlMs : Math.max(ms, 1)));
    return waits.sort((a, b) => a - b)[this.#quorum - 1]!;
  }

  /**
   * Takes the lease from the holder with this secret, which is known to be dead. Does nothing if another instance holds
   * it.
   */
  async evict(key: string, secret: string): Promise<void> {
    await this.#release(new Lock(this.#redlock, [key], secret, [], 0));
  }

  async #acquire(key: string): Promise<HeldLease | undefined> {
    const attempt = this.#redlock.acquire([key], this.#ttlMs);
    try {
      return this.#hold(key, await withDeadline(attempt, this.#deadlineMs, 'acquiring the lease'));
    } catch (error) {
      // If the acquire still succeeds later, nobody holds the lease, and it blocks the role until it expires.
      attempt.then((lock) => lock.release()).catch(() => undefined);
      if (await this.#refused(error)) return undefined;
      throw error;
    }
  }

  #hold(key: string, lock: Lock): HeldLease {
    this.#renewals.count(1);
    return {
      extend: () => this.#renewals.extend(key, lock.value),
      release: () => {
        this.#renewals.count(-1);
        return this.#release(lock);
      },
    };
  }

  async #release(lock: Lock): Promise<void> {
    try {
      await withDeadline(this.#redlock.release(lock), this.#deadlineMs, 'releasing the lease');
    } catch (error) {
      if (!(await this.#refused(error))) throw error;
    }
  }

  /** Returns the answers of the nodes that answered. Rejects when they are not a majority. */
  async #ask<T>(question: (node: Redis) => Promise<T>): Promise<T[]> {
    const answers = await Promise.allSettled(this.#nodes.map(question));
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    if (given.length >= this.#quorum) return given;
    const failed = answers.find((answer) => answer.status === 'rejected');
    throw failed?.reason ?? new Error('no lease node answered');
  }

  /** Whether a majority of nodes answered that another instance holds the lease; otherwise too few nodes answered. */
  async #refused(error: unknown): Promise<boolean> {
    if (!(error instanceof ExecutionError)) return false;
    const votes = await error.attempts.at(-1);
    const against = [...(votes?.votesAgainst.values() ?? [])];
    return against.filter((vote) => vote instanceof ResourceLockedError).length >= this.#quorum;
  }
}
