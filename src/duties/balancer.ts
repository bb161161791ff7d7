import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Holder } from '../leadership/holders';
import type { Role } from '../leadership/role';
import { WATCH_TIMINGS } from '../leadership/timings';
import type { Logger } from '../logging/logger';
import { livingInstances } from '../membership/registry';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import { chooseSuccessors, type Member, type Move, planMoves } from '../leadership/placement';

export interface BalancerOptions {
  readonly control: Redis;
  readonly keys: Keys;
  readonly instance: string;
  /** Which instance leads which roles, as last read, including this instance. */
  readonly holders: () => readonly Pick<Holder, 'instance' | 'holdings'>[];
  /** Roles that this instance leads. */
  readonly led: () => readonly Role[];
  readonly handOver: (roleId: string, successor: string) => void;
  readonly logger: Logger;
}

/** Maximum number of roles handed over at a time, so that a group of many sources is balanced quickly. */
const MAX_MOVES = 16;
/** How long an instance that did not take a handed-over role is given no other role, in milliseconds. */
const DECLINED_FOR_MS = 15_000;
/** How long after its next attempt a failed source still counts as failing, in milliseconds. */
const FAILING_FOR_MS = 30_000;
/** How long successors chosen for one role remain valid for the others, in milliseconds. */
const CHOICE_VALID_MS = 1000;

/** Hands over surplus roles once membership is stable, and chooses successors. */
export class Balancer {
  readonly #options: BalancerOptions;
  #seen = { members: '', since: performance.now() };
  /** Roles handed over whose new leader is not known yet. */
  #handedOver: Move[] = [];
  /** Instances that did not take a role, and the time until which they are given none. */
  readonly #declined = new Map<string, number>();
  #choice: { readonly successors: Promise<Map<string, string>>; readonly at: number } | undefined;

  constructor(options: BalancerOptions) {
    this.#options = options;
  }

  /** Runs until the signal aborts. An instance that leads nothing sends no commands to Redis. */
  async run({ signal, progress }: Activity): Promise<void> {
    for (let pause: number = WATCH_TIMINGS.balancePoll; !signal.aborted;) {
      await sleep(pause, signal);
      if (signal.aborted) return;
      pause = this.#options.led().length === 0 ? WATCH_TIMINGS.balancePoll : await this.#balance();
      progress();
    }
  }

  /** Chooses the instance that should lead the role after this one. */
  async chooseSuccessor(role: Role): Promise<string | undefined> {
    // A stopping instance asks for each of its roles separately, but they are all chosen together.
    if (this.#choice === undefined || performance.now() - this.#choice.at > CHOICE_VALID_MS) {
      const { instance, led } = this.#options;
      this.#choice = { successors: this.chooseSuccessors([...led(), role], instance), at: performance.now() };
    }
    return (await this.#choice.successors).get(role.id);
  }

  /** Chooses the instances that should take over the roles of an instance that is stopping or dead. */
  async chooseSuccessors(roles: readonly Role[], leaving: string): Promise<Map<string, string>> {
    const distinct = [...new Map(roles.map((role) => [role.id, role])).values()];
    return chooseSuccessors(distinct, leaving, await this.#members());
  }

  /** Hands roles over if needed. Returns how long to wait before the next check, in milliseconds. */
  async #balance(): Promise<number> {
    const { instance, handOver, logger } = this.#options;
    this.#noteDeclined();
    const members = await this.#members();
    const names = members.map(({ instance: name }) => name).join(' ');
    const now = performance.now();
    if (names !== this.#seen.members) this.#seen = { members: names, since: now };
    const stableInMs = this.#seen.since + WATCH_TIMINGS.stability - now;
    if (stableInMs > 0) return Math.min(WATCH_TIMINGS.balancePoll, stableInMs + 1);
    const able = members.filter(({ instance: name }) => (this.#declined.get(name) ?? 0) <= now);
    const moves = planMoves(able).filter(({ from }) => from === instance);
    for (const move of moves.slice(0, MAX_MOVES)) {
      this.#handedOver.push(move);
      logger.info('handing a role over to an instance that leads less', { ...move });
      handOver(move.role, move.to);
    }
    return moves.length === 0 ? WATCH_TIMINGS.balancePoll : WATCH_TIMINGS.betweenMoves;
  }

  /** A paused instance looks alive for a while but takes no role: give it no more roles for now. */
  #noteDeclined(): void {
    const { holders, led, instance, logger } = this.#options;
    const holderOf = (id: string) => {
      if (led().some((role) => role.id === id)) return instance;
      const holder = holders().find(({ holdings }) => holdings.some(({ role }) => role.id === id));
      // Ignore what was read before the hand-over.
      return holder?.instance === instance ? undefined : holder?.instance;
    };
    this.#handedOver = this.#handedOver.filter(({ role, to }) => {
      const holder = holderOf(role);
      if (holder === undefined || holder === to) return holder === undefined;
      logger.debug('a role was not taken by the instance that it was handed to', { role, to, holder });
      this.#declined.set(to, performance.now() + DECLINED_FOR_MS);
      return false;
    });
  }

  /**
   * Returns the living instances with the roles that they lead. Failing sources are left out: each failure moves them
   * to another instance, and that must not make the other sources move.
   */
  async #members(): Promise<Member[]> {
    const { control, keys, instance, holders, led } = this.#options;
    const living = await livingInstances(control, keys);
    const held = new Map<string, readonly Role[]>(
      holders().map((holder) => [holder.instance, holder.holdings.map(({ role }) => role)]),
    );
    // An instance knows its own roles best.
    held.set(instance, led());
    const failing = new Set(
      living.flatMap(({ roles = [] }) =>
        roles
          .filter(({ failure }) => failure !== undefined && failure.retryAt + FAILING_FOR_MS > Date.now())
          .map(({ role }) => role),
      ),
    );
    return living.map(({ instance: name, startedAt, generates = true, sources }) => ({
      instance: name,
      startedAt,
      generates,
      sources,
      roles: (held.get(name) ?? []).filter(({ id }) => !failing.has(id)),
    }));
  }
}
