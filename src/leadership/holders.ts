import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { LeaseNodes } from './lease';
import type { Role } from './role';

/** A leadership as Redis shows it. */
export interface Holding {
  readonly role: Role;
  /** The instance that holds the lease. */
  readonly instance: string;
  /** Whom the fencing record names: somebody else for a moment, once a cursor has been moved by hand. */
  readonly recorded: string;
  readonly term: number;
  /** The secret of the lease. */
  readonly secret: string;
}

/** An instance that leads one or more roles. */
export interface Holder {
  readonly instance: string;
  readonly holdings: readonly Holding[];
  /** Whether it was seen alive since it has held these leases. */
  isFollowed?: boolean;
  /** When its leases expire if it does not renew them, and when it renewed them last; undefined until asked for. */
  expiresAt?: number;
  renewedAt?: number;
}

/** How long it is remembered that an instance was seen alive, in milliseconds: names come and go. */
const REMEMBERED_MS = 60_000;

/** Who holds which of the roles, in two round trips however many roles there are. */
export class Holders {
  readonly #client: Redis;
  readonly #keys: Pick<Keys, 'roles'>;
  readonly #leases: Pick<LeaseNodes, 'holders'>;
  readonly #roles: readonly Role[];
  #known = new Map<string, Holder>();
  /** When each instance that leads, or has led, was last seen alive on this connection, in milliseconds. */
  readonly #aliveAt = new Map<string, number>();
  /** The secret of the lease under which the newest term of each role was taken, as `term instance` and the secret. */
  readonly #secrets = new Map<string, { readonly record: string; readonly secret: string }>();
  /** The newest term of each role, by whomever. */
  readonly terms = new Map<string, number>();
  /** For how long a lease had not been renewed when it was found to have expired, by role. */
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

  /** What was seen on a connection that broke proves nothing. */
  forget(): void {
    this.#known.clear();
    this.#aliveAt.clear();
    this.#secrets.clear();
  }

  noteAlive({ instance }: Holder): void {
    this.#aliveAt.set(instance, performance.now());
  }

  /**
   * The last sign of the instance, on the monotonic clock in milliseconds; undefined if it was never seen alive on this
   * connection. It is the process that is seen, whatever it leads: one that has just been elected may have led before.
   */
  lastSignOf({ instance, renewedAt = 0 }: Holder): number | undefined {
    const aliveAt = this.#aliveAt.get(instance);
    return aliveAt === undefined ? undefined : Math.max(aliveAt, renewedAt);
  }

  /** The instance has said that it leads the role no longer. */
  dropHolding(instance: string, roleId: string): void {
    const holder = this.#known.get(instance);
    const holdings = holder?.holdings.filter(({ role }) => role.id !== roleId) ?? [];
    if (holdings.length === 0) this.#known.delete(instance);
    else this.#known.set(instance, { ...holder!, holdings });
  }

  /** A Redis that has restarted may have lost terms; what was known of them proves nothing either. */
  forgetTerms(): void {
    this.terms.clear();
  }

  noteTerm({ id }: Role, term: number): void {
    this.terms.set(id, term);
  }

  drop(instance: string): void {
    this.#known.delete(instance);
  }

  /** Reads who holds what. When leases expire is remembered only for the very same ones. */
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
      else if (instance !== undefined && this.#isOfTerm(role, records[role.id]!, secret)) {
        const owner = this.#ownerOf(secret) ?? instance;
        const holding: Holding = { role, instance: owner, recorded: instance, term: Number(term), secret };
        found.set(owner, [...(found.get(owner) ?? []), holding]);
      }
    }
    const before = this.#known;
    const oldest = performance.now() - REMEMBERED_MS;
    for (const [instance, at] of this.#aliveAt) if (at < oldest) this.#aliveAt.delete(instance);
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

  /** At once, before anything else is waited for: the connection might close, and forget them. */
  #noteTerms(records: Record<string, string>): Record<string, string> {
    for (const role of this.#roles) {
      const term = parseInt(records[role.id] ?? '0', 10) || 0;
      if (term > (this.terms.get(role.id) ?? 0)) this.terms.set(role.id, term);
    }
    return records;
  }

  /**
   * There is one lease for each term: another one, under the same record, belongs to a successor that has yet to take its
   * term.
   */
  #isOfTerm({ id }: Role, record: string, secret: string): boolean {
    const known = this.#secrets.get(id);
    if (known?.record === record) return known.secret === secret;
    this.#secrets.set(id, { record, secret });
    return true;
  }

  /** A secret belongs to one process, whoever has taken a term since. */
  #ownerOf(secret: string): string | undefined {
    return this.all.find(({ holdings }) => holdings.some((holding) => holding.secret === secret))?.instance;
  }

  /** For the history: since when the leader that fell silent had not been heard of. */
  #noteExpiry(role: Role): void {
    const holder = this.all.find(({ holdings }) => holdings.some((holding) => holding.role.id === role.id));
    if (holder?.renewedAt === undefined) return;
    this.sinceRenewalMs.set(role.id, performance.now() - holder.renewedAt);
  }
}

function same(a: Holding, b: Holding): boolean {
  return a.role.id === b.role.id && a.secret === b.secret;
}
