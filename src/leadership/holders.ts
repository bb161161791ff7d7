import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { LeaseNodes } from './lease';
import type { Role } from './role';

/** A leadership as stored in Redis. */
export interface Holding {
  readonly role: Role;
  /** The instance that holds the lease. */
  readonly instance: string;
  /** The instance that the fencing record names. It differs for a moment after a cursor was moved manually. */
  readonly recorded: string;
  readonly term: number;
  /** The secret of the lease. */
  readonly secret: string;
}

/** An instance that leads one or more roles. */
export interface Holder {
  readonly instance: string;
  readonly holdings: readonly Holding[];
  /**
   * When it was last seen alive, on the monotonic clock in milliseconds; undefined if it was never seen on this
   * connection.
   */
  aliveAt?: number;
  /** When its leases expire without a renewal, and when it last renewed them; undefined until first read. */
  expiresAt?: number;
  renewedAt?: number;
}

/** Reads which instance holds which role, in two round trips for any number of roles. */
export class Holders {
  readonly #client: Redis;
  readonly #keys: Pick<Keys, 'roles'>;
  readonly #leases: Pick<LeaseNodes, 'holders'>;
  readonly #roles: readonly Role[];
  #known = new Map<string, Holder>();
  /** The newest term of each role, whichever instance took it. */
  readonly terms = new Map<string, number>();
  /** How long each role's lease had gone without a renewal when it was found expired. */
  readonly sinceRenewalMs = new Map<string, number>();

  constructor(
    client: Redis,
    keys: Pick<Keys, 'roles'>,
    leases: Pick<LeaseNodes, 'holders'>,
    roles: readonly Role[],
  ) {
    this.#client = client;
    this.#keys = keys;
    this.#leases = leases;
    this.#roles = roles;
  }

  get all(): Holder[] {
    return [...this.#known.values()];
  }

  of(instance: string): Holder | undefined {
    return this.#known.get(instance);
  }

  /** Forgets everything seen on a connection that broke: it proves nothing. */
  forget(): void {
    this.#known.clear();
  }

  /** The instance has announced that it no longer leads the role. */
  dropHolding(instance: string, roleId: string): void {
    const holder = this.#known.get(instance);
    const holdings = holder?.holdings.filter(({ role }) => role.id !== roleId) ?? [];
    if (holdings.length === 0) this.#known.delete(instance);
    else this.#known.set(instance, { ...holder!, holdings });
  }

  /** Forgets the terms as well: a Redis that has restarted can have lost some. */
  forgetTerms(): void {
    this.terms.clear();
  }

  noteTerm({ id }: Role, term: number): void {
    this.terms.set(id, term);
  }

  drop(instance: string): void {
    this.#known.delete(instance);
  }

  /** Reads who holds what. A leader still counts as seen alive only while it holds the very same leases. */
  async refresh(): Promise<{ vacant: Role[] }> {
    const [records, secrets] = await Promise.all([
      this.#client.hgetall(this.#keys.roles).then((records) => this.#noteTerms(records)),
      this.#leases.holders(this.#roles.map(({ keys }) => keys.lease)),
    ]);
    const found = new Map<string, Holding[]>();
    const vacant: Role[] = [];
    for (const [index, role] of this.#roles.entries()) {
      const [term, instance] = (records[role.id] ?? '').split(' ', 2);
      const secret = secrets[index];
      if (secret === undefined) vacant.push(role);
      else if (instance !== undefined) {
        const owner = this.#ownerOf(secret) ?? instance;
        const holding: Holding = { role, instance: owner, recorded: instance, term: Number(term), secret };
        found.set(owner, [...(found.get(owner) ?? []), holding]);
      }
    }
    const before = this.#known;
    for (const role of vacant) this.#noteExpiry(role);
    this.#known = new Map(
      [...found].map(([instance, holdings]) => {
        const known = before.get(instance);
        const seen =
          known !== undefined && holdings.some((now) => known.holdings.some((then) => same(then, now)));
        return [instance, seen ? { ...known, holdings } : { instance, holdings }];
      }),
    );
    return { vacant };
  }

  /** Runs before anything else is awaited: the connection could close, and the terms would be forgotten. */
  #noteTerms(records: Record<string, string>): Record<string, string> {
    for (const role of this.#roles) {
      const term = parseInt(records[role.id] ?? '0', 10) || 0;
      if (term > (this.terms.get(role.id) ?? 0)) this.terms.set(role.id, term);
    }
    return records;
  }

  /** A secret belongs to one process, even if another instance has taken a term since. */
  #ownerOf(secret: string): string | undefined {
    return this.all.find(({ holdings }) => holdings.some((holding) => holding.secret === secret))?.instance;
  }

  /** Notes for the history when the leader that stopped answering last renewed its lease. */
  #noteExpiry(role: Role): void {
    const holder = this.all.find(({ holdings }) => holdings.some((holding) => holding.role.id === role.id));
    if (holder?.renewedAt === undefined) return;
    this.sinceRenewalMs.set(role.id, performance.now() - holder.renewedAt);
  }
}

function same(a: Holding, b: Holding): boolean {
  return a.role.id === b.role.id && a.secret === b.secret;
}
