/*
 * Renewals: an instance that leads many sources renews all their leases with one script per lease node.
 *
 * Elections renew at common times (tenure.ts), so their requests arrive almost together and are sent as one. Each lease
 * is still decided on its own, as Redlock decides it: it is extended if a majority of the nodes extended it, and lost
 * if a majority no longer holds its secret.
 */
import type { Redis } from 'ioredis';
import { withDeadline } from '../time';
import { loadScript } from '../redis/scripts';

export type Renewal = 'extended' | 'lost';

interface Request {
  readonly key: string;
  readonly secret: string;
  readonly resolve: (outcome: Renewal) => void;
  readonly reject: (error: unknown) => void;
  /** Number of nodes that extended the lease, and of nodes that hold another secret or none. */
  votesFor: number;
  votesAgainst: number;
}

export interface RenewalsOptions {
  readonly nodes: readonly Redis[];
  readonly ttlMs: number;
  /** Longest wait for the nodes, in milliseconds. */
  readonly deadlineMs: number;
}

/** How long a renewal waits for others to join it, in milliseconds. */
const GATHER_MS = 5;

const EXTEND_LEASES = loadScript(__dirname, 'extendLeases');

export class Renewals {
  readonly #options: RenewalsOptions;
  readonly #quorum: number;
  #held = 0;
  #gathered: Request[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RenewalsOptions) {
    this.#options = options;
    this.#quorum = Math.floor(options.nodes.length / 2) + 1;
  }

  /** Counts a lease that is now held (1) or no longer held (-1). A renewal waits only for that many others. */
  count(change: 1 | -1): void {
    this.#held += change;
  }

  /** Rejects when too few nodes answer. */
  extend(key: string, secret: string): Promise<Renewal> {
    const decided = new Promise<Renewal>((resolve, reject) =>
      this.#gathered.push({ key, secret, resolve, reject, votesFor: 0, votesAgainst: 0 }),
    );
    if (this.#gathered.length >= this.#held) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), GATHER_MS);
    return withDeadline(decided, this.#options.deadlineMs, 'renewing the lease');
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const requests = this.#gathered.splice(0);
    if (requests.length === 0) return;
    const asked = this.#options.nodes.map((node) => this.#ask(node, requests));
    void Promise.allSettled(asked).then((answers) => {
      const failed = answers.find((answer) => answer.status === 'rejected');
      const error: unknown = failed?.reason ?? new Error('the lease nodes are divided');
      // Leases that are already decided are not affected.
      for (const { reject } of requests) reject(error);
    });
  }

  async #ask(node: Redis, requests: readonly Request[]): Promise<void> {
    const keys = requests.map(({ key }) => key);
    const secrets = requests.map(({ secret }) => secret);
    const extended = (await node.eval(
      EXTEND_LEASES,
      keys.length,
      ...keys,
      Math.ceil(this.#options.ttlMs),
      ...secrets,
    )) as number[];
    requests.forEach((request, index) => {
      if (extended[index] === 1) request.votesFor++;
      else request.votesAgainst++;
      if (request.votesFor >= this.#quorum) request.resolve('extended');
      if (request.votesAgainst >= this.#quorum) request.resolve('lost');
    });
  }
}
