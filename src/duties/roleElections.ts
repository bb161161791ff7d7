import type { Connections } from '../redis/connections';
import type { Config } from '../configuration/config';
import { toError } from '../errors';
import type { Keys } from '../keys';
import { CrashWatch } from '../leadership/crashWatch';
import { Election } from '../leadership/election';
import { LeaseNodes } from '../leadership/lease';
import type { Failure, RenewalOutcome, StepDownCause, Term } from '../leadership/options';
import type { Role } from '../leadership/role';
import { type EndCause, markEnd, takeTerm } from '../leadership/term';
import { WATCH_TIMINGS } from '../leadership/timings';
import type { Logger } from '../logging/logger';
import { announce, type Announcement } from '../membership/announcements';
import { sleep, systemClock, withDeadline } from '../time';

/** Maximum time to choose successors after a crash, in milliseconds. */
const CHOICE_TIMEOUT_MS = 250;
/** Time over which an instance spreads its campaigns for roles that become vacant together, in milliseconds. */
const MAX_TURNS_MS = 300;

export interface Duty {
  readonly role: Role;
  /** The work of one term. */
  lead(term: Term): Promise<void>;
}

/** Receives what happens to this instance's roles. */
export interface RoleObserver {
  /** This instance has started or stopped leading the role. */
  changed(role: Role, event: 'elected' | 'steppedDown', term: number | undefined): void;
  /** A campaign for the role was lost: another instance leads. */
  following(role: Role): void;
  /** An attempt to renew a lease has ended. */
  renewed(outcome: RenewalOutcome, tookMs: number): void;
  /** This instance took the role over from another. */
  tookOver(role: Role, cause: EndCause): void;
}

export interface RoleElectionsOptions {
  readonly connections: Pick<Connections, 'control' | 'lease'>;
  readonly keys: Keys;
  readonly config: Pick<Config, 'instanceName' | 'leaseTtlMs'>;
  readonly duties: readonly Duty[];
  /** Chooses who takes the role over when this instance steps down in order. */
  readonly chooseSuccessor: (role: Role) => Promise<string | undefined>;
  /** Chooses who takes over the roles of a dead instance, by the id of the role. */
  readonly chooseSuccessors: (roles: readonly Role[], dead: string) => Promise<Map<string, string>>;
  readonly observer: RoleObserver;
  readonly logger: Logger;
}

/** The elections of one instance, one for each role that it campaigns for, and the crash watch that wakes them. */
export class RoleElections {
  readonly leases: LeaseNodes;
  readonly watch: CrashWatch;
  readonly #options: RoleElectionsOptions;
  readonly #elections = new Map<string, { role: Role; election: Election }>();

  constructor(options: RoleElectionsOptions) {
    const { connections, keys, config, duties, logger } = options;
    this.#options = options;
    const ttlMs = config.leaseTtlMs;
    this.leases = new LeaseNodes({ nodes: connections.lease, ttlMs });
    this.watch = new CrashWatch({
      control: connections.control,
      keys,
      leases: this.leases,
      roles: duties.map(({ role }) => role),
      instance: config.instanceName,
      onVacant: (roles, _why, dead) => void this.#fill(roles, dead),
      onTerms: (terms) => {
        for (const { role, election } of this.#elections.values()) election.depose(terms.get(role.id) ?? 0);
      },
      ttlMs,
      logger,
    });
    for (const duty of duties) {
      this.#elections.set(duty.role.id, { role: duty.role, election: this.#createElection(duty) });
    }
    // After a restart of Redis there might be no leader.
    for (const node of connections.lease) node.on('ready', () => this.#wakeAll());
  }

  /** Roles that this instance leads, with their terms. */
  get led(): { role: Role; term: Term }[] {
    return [...this.#elections.values()].flatMap(({ role, election }) =>
      election.term === undefined ? [] : [{ role, term: election.term }],
    );
  }

  /** Roles whose work failed the last time this instance led them. */
  get failures(): { role: Role; failure: Failure }[] {
    return [...this.#elections.values()].flatMap(({ role, election }) =>
      election.failure === undefined ? [] : [{ role, failure: election.failure }],
    );
  }

  /** Whether this instance leads a role whose lease should have been renewed by now. */
  get overdue(): boolean {
    return [...this.#elections.values()].some(({ election }) => election.overdue);
  }

  start(): void {
    for (const { election } of this.#elections.values()) election.start();
  }

  /** Gives all roles up. Resolves when they have been released. */
  async stop(): Promise<void> {
    await Promise.all([...this.#elections.values()].map(({ election }) => election.stop()));
  }

  /** Steps down from the role, if this instance leads it. */
  handOver(roleId: string, successor: string | undefined): void {
    this.#elections.get(roleId)?.election.handOver(successor);
  }

  hear({ event, who, role, successor }: Announcement): void {
    if (event === 'elected' || event === 'moved') this.watch.refresh();
    if (event === 'handover') this.handOver(role, successor);
    if (event !== 'left') return;
    this.watch.steppedDown(who, role);
    const named = successor === undefined || successor === this.#options.config.instanceName;
    const jitter = successor === undefined ? Math.random() * WATCH_TIMINGS.campaignJitter : 0;
    this.#wake(
      role,
      named ? jitter : WATCH_TIMINGS.notNamedDelay + Math.random() * WATCH_TIMINGS.campaignJitter,
    );
  }

  /**
   * Nobody leads these roles. The instance that saw another one die chooses the next leader of each source, so that the
   * sources are spread evenly at once; it takes a single role itself.
   */
  async #fill(roles: readonly Role[], dead: string | undefined): Promise<void> {
    const { campaignJitter, notNamedDelay } = WATCH_TIMINGS;
    if (dead === undefined) return this.#wakeInTurn(roles);
    const sources = roles.filter(({ source }) => source !== undefined);
    for (const { id } of roles.filter((role) => !sources.includes(role))) this.#wake(id, 0);
    if (sources.length === 0) return;
    const choosing = this.#options.chooseSuccessors(sources, dead);
    const successors = await withDeadline(choosing, CHOICE_TIMEOUT_MS, 'choosing successors').catch(
      (error: unknown) => {
        this.#options.logger.debug('no successors could be chosen', { error: toError(error) });
        return undefined;
      },
    );
    if (successors === undefined) return this.#wakeInTurn(sources);
    for (const role of sources) {
      const successor = successors.get(role.id);
      const isOwn = successor === undefined || successor === this.#options.config.instanceName;
      this.#wake(role.id, isOwn ? 0 : notNamedDelay + Math.random() * campaignJitter);
      if (!isOwn) this.#announce('left', role, successor);
    }
  }

  /** Each instance uses its own random order, so that each gets some of the roles that become vacant together. */
  #wakeInTurn(roles: readonly Role[]): void {
    const { campaignJitter } = WATCH_TIMINGS;
    const step = Math.min(campaignJitter, MAX_TURNS_MS / roles.length);
    const order = roles.map((role) => ({ role, at: Math.random() })).sort((a, b) => a.at - b.at);
    order.forEach(({ role }, turn) => this.#wake(role.id, Math.random() * campaignJitter + turn * step));
  }

  #wake(roleId: string, delayMs: number): void {
    this.#elections.get(roleId)?.election.wake(delayMs);
  }

  #wakeAll(): void {
    for (const { election } of this.#elections.values()) election.wake();
    this.watch.refresh();
  }

  #createElection({ role, ...duty }: Duty): Election {
    const { keys, config, duties, observer, logger, connections, chooseSuccessor } = this.#options;
    const { control } = connections;
    const ttlMs = config.leaseTtlMs;
    let term: number | undefined;
    return new Election({
      role,
      lease: this.leases.lease(role.keys.lease),
      takeTerm: async () => {
        const since = this.watch.takeSinceRenewalMs(role);
        const known = this.watch.knownTerm(role);
        const taken = await takeTerm(control, keys, role, config.instanceName, since, known);
        this.watch.noteTerm(role, taken.term);
        if (taken.cause !== 'first') observer.tookOver(role, taken.cause);
        return taken.term;
      },
      lead: (started) => {
        term = started.number;
        this.#announce('elected', role);
        observer.changed(role, 'elected', term);
        return duty.lead(started);
      },
      chooseSuccessor: () => chooseSuccessor(role),
      onEnding: (number, cause) => this.#markEnd(role, number, cause),
      onSteppedDown: (successor) => {
        this.#announce('left', role, successor);
        observer.changed(role, 'steppedDown', term);
        term = undefined;
      },
      onFollowing: () => observer.following(role),
      onRenewal: (outcome, tookMs) => observer.renewed(outcome, tookMs),
      beforeCampaign: async (signal) => {
        if (role.kind === 'keeper') await sleep(WATCH_TIMINGS.keeperDelay, signal);
        const engaged = [...this.#elections.values()].filter(({ election }) => election.engaged);
        await sleep(WATCH_TIMINGS.delayPerRole * engaged.length, signal);
      },
      clock: systemClock,
      logger: logger.child(shownRole(role)),
      ttlMs,
      // Polling is only a safety net: the crash watch wakes the elections of all roles at no cost for each.
      pollMs: ttlMs * duties.length,
    });
  }

  /** Tells the next leader that this term ended in order. A deposed leader does not record how its term ended. */
  #markEnd(role: Role, term: number, cause: StepDownCause): void {
    if (cause !== 'stopped' && cause !== 'failed' && cause !== 'handed over') return;
    const { connections, config, logger } = this.#options;
    const note = cause === 'failed' ? { note: 'generating failed' } : {};
    const end = { instance: config.instanceName, term, cause: 'hand-over', ...note, agoMs: 0 } as const;
    // Not awaited: the announcement follows on the same connection.
    markEnd(connections.control, role.keys, end).catch((error: unknown) =>
      logger.debug('the hand-over could not be recorded', { error: toError(error) }),
    );
  }

  #announce(event: 'elected' | 'left', { id: role }: Role, successor?: string): void {
    const { connections, keys, config, logger } = this.#options;
    announce(connections.control, keys, { event, who: config.instanceName, role, successor }).catch(
      (error: unknown) => logger.debug('the announcement could not be sent', { error: toError(error) }),
    );
  }
}

/** Returns the log fields of a role. A generator without a named source is simply the generator. */
function shownRole({ kind, source }: Role): object {
  if (source !== undefined) return { source };
  return kind === 'keeper' ? { role: 'keeper' } : {};
}
