import type { Redis } from 'ioredis';
import Redlock, { ExecutionError, Lock, ResourceLockedError } from 'redlock';
import { withDeadline } from '../time';
import { type Renewal, Renewals } from './renewals';
import { timingsOf } from './timings';

/**
 * The time-bounded right to a role. Ordinary outcomes are values; a rejection means that too few nodes gave a usable
 * answer, so that nothing is known.
 */
export interface Lease {
  /** Milliseconds until it is free, if its holder does not renew it; 0 if it is free. */
  heldForMs(): Promise<number>;
  /** Undefined: another instance was faster. */
  acquire(): Promise<HeldLease | undefined>;
}

export interface HeldLease {
  /** `lost`: Redis says that it is no longer ours. */
  extend(): Promise<Renewal>;
  /** Gives it back, if it is still ours. */
  release(): Promise<void>;
}

export interface LeaseNodesOptions {
  /** Independent Redis nodes; a majority decides. */
  readonly nodes: readonly Redis[];
  readonly ttlMs: number;
}

/**
 * The Redlock leases of all roles, on the same nodes. The package's own loop (`using`) is not used: with Redis frozen it
 * notices seconds late, and it decides by wall-clock time. Here each call is a single attempt, and the election decides
 * when to call. Its `extend` is not used either, because it renews one lease per round trip (renewals.ts).
 */
export class LeaseNodes {
  readonly #nodes: readonly Redis[];
  readonly #ttlMs: number;
  readonly #redlock: Redlock;
  readonly #renewals: Renewals;
  readonly #quorum: number;
  // Redlock never settles when an even number of nodes is divided: each call has a deadline of its own.
  readonly #deadlineMs: number;

  constructor({ nodes, ttlMs }: LeaseNodesOptions) {
    this.#nodes = nodes;
    this.#ttlMs = ttlMs;
    this.#redlock = new Redlock(nodes, { retryCount: 0 });
    this.#quorum = Math.floor(nodes.length / 2) + 1;
    this.#deadlineMs = timingsOf(ttlMs).leaseCommandTimeout.ms * 2;
    this.#renewals = new Renewals({ nodes, ttlMs, deadlineMs: this.#deadlineMs });
  }

  /** The lease that is stored under this key. */
  lease(key: string): Lease {
    return { heldForMs: () => this.heldForMs(key), acquire: () => this.#acquire(key) };
  }

  /** The secret of whoever holds each lease now; undefined where nobody does. One command for each node. */
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

  /** Milliseconds until a majority of nodes is free, if nobody renews; 0 if it is now. */
  async heldForMs(key: string): Promise<number> {
    const remaining = await this.#ask((node) => node.pttl(key));
    // -2: no such key. -1: a key that never expires was not written by us, and is waited for like any other.
    const waits = remaining.map((ms) => (ms === -2 ? 0 : ms === -1 ? this.#ttlMs : Math.max(ms, 1)));
    return waits.sort((a, b) => a - b)[this.#quorum - 1]!;
  }

  /** Takes the lease from the holder with this secret, who is known to be dead. Nothing happens if another has it. */
  async evict(key: string, secret: string): Promise<void> {
    await this.#release(new Lock(this.#redlock, [key], secret, [], 0));
  }

  async #acquire(key: string): Promise<HeldLease | undefined> {
    const attempt = this.#redlock.acquire([key], this.#ttlMs);
    try {
      return this.#hold(key, await withDeadline(attempt, this.#deadlineMs, 'acquiring the lease'));
    } catch (error) {
      // If it succeeds after all, nobody knows of it: it would stay held until it expires.
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

  /** The answers of the nodes that answer. Rejects when they are no majority. */
  async #ask<T>(question: (node: Redis) => Promise<T>): Promise<T[]> {
    const answers = await Promise.allSettled(this.#nodes.map(question));
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    if (given.length >= this.#quorum) return given;
    const failed = answers.find((answer) => answer.status === 'rejected');
    throw failed?.reason ?? new Error('no lease node answered');
  }

  /** Whether a majority of nodes answered that the lease is another's; otherwise too few answered at all. */
  async #refused(error: unknown): Promise<boolean> {
    if (!(error instanceof ExecutionError)) return false;
    const votes = await error.attempts.at(-1);
    const against = [...(votes?.votesAgainst.values() ?? [])];
    return against.filter((vote) => vote instanceof ResourceLockedError).length >= this.#quorum;
  }
}
