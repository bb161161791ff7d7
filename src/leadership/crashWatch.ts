/*
 * The crash watch: one process's eye on the leaders of all roles, so that a leader whose process has died is replaced at
 * once, and one that fell silent right when its lease expires.
 *
 * Only a leader that was seen alive can be seen to be dead, and seen on this very connection: after a Redis restart, or
 * a reconnect of one's own, nobody is subscribed for a moment. It is the process that is seen, whatever it led then.
 * Absent twice in a row, it loses the leases that it holds then, and this instance campaigns.
 *
 * A suspicion can be wrong, as when the leader's subscription alone was cut. That costs a hand-over and never a
 * message: the fence makes it safe.
 *
 * What it costs does not depend on the number of roles: one NUMSUB for the leaders of all of them, five times a second;
 * two reads every few seconds; and for each instance that leads anything, one PTTL whenever its lease would have expired
 * if it had not been renewed since the last one.
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
  /** Nobody holds the leases of these roles; all of `dead` after a crash of that instance. */
  readonly onVacant: (roles: readonly Role[], why: 'crash' | 'expired' | 'free', dead?: string) => void;
  /** The newest term of each role, by its id, as last read: an older one is over. */
  readonly onTerms: (terms: ReadonlyMap<string, number>) => void;
  readonly ttlMs: number;
  readonly logger: Logger;
}

/** How late after its expiry a lease is looked at, in milliseconds: a part of it spreads followers. */
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
    // Whom it saw alive proves nothing on another connection.
    control.on('close', () => {
      this.#holders.forget();
      this.#holders.forgetTerms();
      this.#refreshAt = 0;
    });
  }

  /** Who leads: the instances by their names, with the roles that they hold, as last read. */
  get holders(): readonly Pick<Holder, 'instance' | 'holdings'>[] {
    return this.#holders.all;
  }

  /** For how long the lease of a role had not been renewed when it expired, in milliseconds; asked for once. */
  takeSinceRenewalMs(role: Role): number | undefined {
    const ms = this.#holders.sinceRenewalMs.get(role.id);
    this.#holders.sinceRenewalMs.delete(role.id);
    return ms;
  }

  /** The instance has stepped down in order: that its process ends is no crash of a leader. */
  steppedDown(instance: string, roleId: string): void {
    this.#holders.dropHolding(instance, roleId);
  }

  /** The newest term of the role, as far as it was seen on this connection; 0 if none was. */
  knownTerm(role: Role): number {
    return this.#holders.terms.get(role.id) ?? 0;
  }

  /** This instance has taken a term. */
  noteTerm(role: Role, term: number): void {
    this.#holders.noteTerm(role, term);
  }

  /** Something has changed: reads at once who leads. */
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

  /** Until the next look, or the next lease expires. */
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
    const suspects = absent.filter((holder) => this.#holders.lastSignOf(holder) !== undefined);
    if (suspects.length === 0) return;
    await sleep(WATCH_TIMINGS.confirmation, signal);
    const dead = await this.#absent(suspects);
    if (dead.length === 0) return;
    // They may have taken more since they were last read. What is left out now would be held until it expires.
    await this.#holders.refresh();
    for (const { instance } of dead) {
      // A connection that broke in between has made everything seen on it void.
      const holder = this.#holders.of(instance);
      const lastSign = holder && this.#holders.lastSignOf(holder);
      if (lastSign !== undefined && !signal.aborted) await this.#evict(holder!, lastSign);
    }
  }

  async #refresh(why: 'expired' | 'free'): Promise<void> {
    const { refreshInterval, presencePollMin } = WATCH_TIMINGS;
    // A leader reads as often as it renews: it then learns of a newer term though an announcement was lost.
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
   * Asks for each leader when its leases expire, once they would have if it had not renewed them. Those of one instance are
   * renewed together.
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

  /** Those who are not connected now; notes when the others were seen alive. */
  async #absent(holders: readonly Holder[]): Promise<Holder[]> {
    const { control, keys } = this.#options;
    const present = await presentAmong(
      control,
      keys,
      holders.map(({ instance }) => instance),
    );
    for (const holder of holders) {
      if (!present.has(holder.instance)) continue;
      if (!holder.isFollowed) this.#reportFollowing(holder);
      holder.isFollowed = true;
      this.#holders.noteAlive(holder);
    }
    return holders.filter(({ instance }) => !present.has(instance));
  }

  /** One line for each role; all sources of an instance share one. */
  #reportFollowing({ instance, holdings }: Holder): void {
    const { logger } = this.#options;
    const sources = holdings.flatMap(({ role: { source } }) => (source === undefined ? [] : [source]));
    if (sources.length > 0) logger.info('following', { generator: instance, sources });
    for (const { role, term } of holdings) {
      if (role.source === undefined) logger.info('following', { [role.kind]: instance, term });
    }
  }

  /** Should it fail, the holder is still known, and is suspected again at the next look. */
  async #evict({ instance, holdings }: Holder, lastSign: number): Promise<void> {
    const { leases, onVacant } = this.#options;
    const evicted = await Promise.all(
      holdings.map(async (holding) => {
        if (!(await this.#markCrash(holding, lastSign))) return [];
        await leases.evict(holding.role.keys.lease, holding.secret);
        return [holding.role];
      }),
    );
    this.#holders.drop(instance);
    const roles = evicted.flat();
    if (roles.length > 0) onVacant(roles, 'crash', instance);
    this.#refreshAt = 0;
  }

  /** False: somebody else has taken the role already. */
  async #markCrash({ role, instance, recorded, term }: Holding, lastSign: number): Promise<boolean> {
    const { control, logger } = this.#options;
    const newest = await readLeader(control, role.keys);
    if (newest?.instance !== recorded || newest.term !== term) return false;
    logger.info(`the ${role.kind} is dead`, {
      [role.kind]: instance,
      term,
      ...(role.source && { source: role.source }),
    });
    // Not waited for: a term is taken on this same connection, and finds the mark there.
    markEnd(control, role.keys, {
      instance: recorded,
      term,
      cause: 'crash',
      agoMs: performance.now() - lastSign,
    }).catch((error: unknown) => logger.debug('the crash is not on record', { error: toError(error) }));
    return true;
  }
}
