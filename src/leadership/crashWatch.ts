/*
 * Crash watch: each process watches the leaders of all roles. It replaces a leader as soon as its process has died, and
 * a leader that has stopped answering as soon as its lease expires.
 *
 * A leader can be declared dead only if it was seen alive on this very connection: after a restart of Redis, or after
 * this instance reconnects, nobody is subscribed for a moment. A leader that is absent twice in a row, and still holds
 * the same leases under the same terms, loses those leases, and this instance campaigns.
 *
 * A suspicion can be wrong, for example when only the leader's subscription was cut. That costs a hand-over and never a
 * message: the fence makes it safe.
 *
 * The cost does not depend on the number of roles: one NUMSUB for the leaders of all roles, five times a second; two
 * reads every few seconds; and for each leading instance, one PTTL when its lease would have expired without a renewal.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import { presentAmong } from '../membership/presence';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import { type Holder, Holders, type Holding } from './holders';
import type { LeaseNodes } from './lease';
import type { Role } from './role';
import { markEnd, readLeader } from './term';
import { timingsOf, WATCH_TIMINGS } from './timings';

export interface CrashWatchOptions {
  readonly control: Redis;
  readonly keys: Pick<Keys, 'presence' | 'roles'>;
  readonly leases: Pick<LeaseNodes, 'holders' | 'heldForMs' | 'evict'>;
  /** The roles that this instance campaigns for. */
  readonly roles: readonly Role[];
  readonly instance: string;
  /** Nobody holds the leases of these roles. After a crash, `dead` is the instance that held all of them. */
  readonly onVacant: (roles: readonly Role[], why: 'crash' | 'expired' | 'free', dead?: string) => void;
  /** The newest term of each role as last read, by the id of the role; older terms are over. */
  readonly onTerms: (terms: ReadonlyMap<string, number>) => void;
  readonly ttlMs: number;
  readonly logger: Logger;
}

/** How long after its expiry a lease is checked, in milliseconds. A random part of it spreads the followers. */
const EXPIRY_SPREAD_MS = 20;

export class CrashWatch {
  readonly #options: CrashWatchOptions;
  readonly #holders: Holders;
  #refreshAt = 0;
  #wake = new AbortController();

  constructor(options: CrashWatchOptions) {
    const { control, keys, leases, roles } = options;
    this.#options = options;
    this.#holders = new Holders(control, keys, leases, roles);
    // What was seen on one connection proves nothing on another.
    control.on('close', () => {
      this.#holders.forget();
      this.#holders.forgetTerms();
      this.#refreshAt = 0;
    });
  }

  /** The leaders as last read: the instances by name, with the roles that they hold. */
  get holders(): readonly Pick<Holder, 'instance' | 'holdings'>[] {
    return this.#holders.all;
  }

  /** How long the lease of a role had gone without a renewal when it expired, in milliseconds. Reading it clears it. */
  takeSinceRenewalMs(role: Role): number | undefined {
    const ms = this.#holders.sinceRenewalMs.get(role.id);
    this.#holders.sinceRenewalMs.delete(role.id);
    return ms;
  }

  /** The instance stepped down in order, so the end of its process is not the crash of a leader. */
  steppedDown(instance: string, roleId: string): void {
    this.#holders.dropHolding(instance, roleId);
  }

  /** The newest term of the role that was seen on this connection; 0 if none was. */
  knownTerm(role: Role): number {
    return this.#holders.terms.get(role.id) ?? 0;
  }

  noteTerm(role: Role, term: number): void {
    this.#holders.noteTerm(role, term);
  }

  /** Reads the leaders immediately, because something has changed. */
  refresh(): void {
    this.#refreshAt = 0;
    this.#wake.abort();
  }

  /** Watches until the signal aborts. Rejects when Redis does not answer. */
  async run({ signal, progress }: Activity): Promise<void> {
    // Who was seen alive stays so after a failed look: only the end of the connection makes it void.
    this.#refreshAt = 0;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      await this.#look(signal);
      progress();
      await sleep(this.#pauseMs(), signal, this.#wake.signal);
    }
  }

  /** Time until the next check or until the next lease expires, whichever is first. */
  #pauseMs(): number {
    const { presencePollMin: min, presencePollMax: max } = WATCH_TIMINGS;
    const pause = min + Math.random() * (max - min);
    const now = performance.now();
    const expiries = this.#others.map(
      ({ expiresAt = Infinity }) => expiresAt - now + Math.random() * EXPIRY_SPREAD_MS,
    );
    return Math.max(1, Math.min(pause, ...expiries));
  }

  get #others(): Holder[] {
    return this.#holders.all.filter(({ instance }) => instance !== this.#options.instance);
  }

  async #look(signal: AbortSignal): Promise<void> {
    if (performance.now() >= this.#refreshAt) await this.#refresh('free');
    await this.#pollLeases();
    const absent = await this.#absent(this.#others);
    const suspects = absent.filter(({ aliveAt }) => aliveAt !== undefined);
    if (suspects.length === 0) return;
    await sleep(WATCH_TIMINGS.confirmation, signal);
    const dead = await this.#absent(suspects);
    if (dead.length === 0) return;
    // They may have taken more since they were last read. What is left out now would be held until it expires.
    await this.#holders.refresh();
    for (const { instance } of dead) {
      // A connection that broke in between has made everything seen on it void.
      const holder = this.#holders.of(instance);
      if (holder?.aliveAt !== undefined && !signal.aborted) await this.#evict(holder, holder.aliveAt);
    }
  }

  async #refresh(why: 'expired' | 'free'): Promise<void> {
    const { refreshInterval, presencePollMin } = WATCH_TIMINGS;
    // A leader reads as often as it renews, so it learns of a newer term even if an announcement was lost.
    const leads = this.#holders.of(this.#options.instance) !== undefined;
    const interval = leads
      ? Math.min(refreshInterval, timingsOf(this.#options.ttlMs).renewalInterval.ms)
      : refreshInterval;
    this.#refreshAt = performance.now() + interval - Math.random() * presencePollMin;
    const { vacant } = await this.#holders.refresh();
    this.#options.onTerms(this.#holders.terms);
    if (vacant.length > 0) this.#options.onVacant(vacant, why);
  }

  /**
   * Checks the leases of each leader at the time at which they would have expired without a renewal. An instance renews
   * all its leases together.
   */
  async #pollLeases(): Promise<void> {
    const due = this.#others.filter(({ expiresAt = 0 }) => performance.now() >= expiresAt);
    const expired = await Promise.all(
      due.map(async (holder) => {
        const heldForMs = await this.#options.leases.heldForMs(holder.holdings[0]!.role.keys.lease);
        if (heldForMs === 0) return true;
        const at = performance.now();
        holder.expiresAt = at + heldForMs;
        holder.renewedAt = at - Math.max(0, this.#options.ttlMs - heldForMs);
        return false;
      }),
    );
    if (expired.includes(true)) await this.#refresh('expired');
  }

  /** Returns the holders that are not connected now; notes when the others were seen alive. */
  async #absent(holders: readonly Holder[]): Promise<Holder[]> {
    const { control, keys } = this.#options;
    const present = await presentAmong(
      control,
      keys,
      holders.map(({ instance }) => instance),
    );
    for (const holder of holders) {
      if (!present.has(holder.instance)) continue;
      if (holder.aliveAt === undefined) this.#reportFollowing(holder);
      holder.aliveAt = performance.now();
    }
    return holders.filter(({ instance }) => !present.has(instance));
  }

  /** Logs one line for each role; all sources of an instance share one line. */
  #reportFollowing({ instance, holdings }: Holder): void {
    const { logger } = this.#options;
    const sources = holdings.flatMap(({ role: { source } }) => (source === undefined ? [] : [source]));
    if (sources.length > 0) logger.info('following', { generator: instance, sources });
    for (const { role, term } of holdings) {
      if (role.source === undefined) logger.info('following', { [role.kind]: instance, term });
    }
  }

  /** Should it fail, the holder is still known, and is suspected again at the next look. */
  async #evict({ instance, holdings }: Holder, aliveAt: number): Promise<void> {
    const { leases, onVacant } = this.#options;
    const evicted = await Promise.all(
      holdings.map(async (holding) => {
        if (!(await this.#markCrash(holding, aliveAt))) return [];
        await leases.evict(holding.role.keys.lease, holding.secret);
        return [holding.role];
      }),
    );
    this.#holders.drop(instance);
    const roles = evicted.flat();
    if (roles.length > 0) onVacant(roles, 'crash', instance);
    this.#refreshAt = 0;
  }

  /** Returns false if another instance has already taken the role. */
  async #markCrash({ role, instance, recorded, term }: Holding, aliveAt: number): Promise<boolean> {
    const { control, logger } = this.#options;
    const newest = await readLeader(control, role.keys);
    if (newest?.instance !== recorded || newest.term !== term) return false;
    logger.info(`the ${role.kind} is dead`, {
      [role.kind]: instance,
      term,
      ...(role.source && { source: role.source }),
    });
    // Not awaited: a term is taken on this same connection, so it finds the mark.
    markEnd(control, role.keys, {
      instance: recorded,
      term,
      cause: 'crash',
      agoMs: performance.now() - aliveAt,
    }).catch((error: unknown) => logger.debug('the crash could not be recorded', { error: toError(error) }));
    return true;
  }
}
