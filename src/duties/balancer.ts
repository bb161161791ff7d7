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
  /** Who leads what, as last read, this instance included. */
  readonly holders: () => readonly Pick<Holder, 'instance' | 'holdings'>[];
  /** Roles that this instance leads. */
  readonly led: () => readonly Role[];
  readonly handOver: (roleId: string, successor: string) => void;
  readonly logger: Logger;
}

/** Most roles that are handed over at a time, so that a group of many sources is even in time. */
const MAX_MOVES = 16;
/** How long an instance that did not take what was handed to it is given nothing more, in milliseconds. */
const DECLINED_FOR_MS = 15_000;
/** How long after its next attempt a source that failed still counts as failing, in milliseconds. */
const FAILING_FOR_MS = 30_000;
/** How long the successors chosen for one role also hold for the others, in milliseconds. */
const CHOICE_VALID_MS = 1000;

/** Hands over what this instance leads too much of, once membership is stable, and chooses who leads next. */
export class Balancer {
  readonly #options: BalancerOptions;
  #seen = { members: '', since: performance.now() };
  /** Of which it is not known yet who leads them now. */
  #handedOver: Move[] = [];
  /** Instances that did not take a role, and until when they are given none. */
  readonly #declined = new Map<string, number>();
  #choice: { readonly successors: Promise<Map<string, string>>; readonly at: number } | undefined;

  constructor(options: BalancerOptions) {
    this.#options = options;
  }

  /** Runs until the signal aborts. An instance that leads nothing asks Redis nothing. */
  async run({ signal, progress }: Activity): Promise<void> {
    for (let pause: number = WATCH_TIMINGS.balancePoll; !signal.aborted;) {
      await sleep(pause, signal);
      if (signal.aborted) return;
      pause = this.#options.led().length === 0 ? WATCH_TIMINGS.balancePoll : await this.#balance();
      progress();
    }
  }

  /** Who should lead the role when this instance no longer does. */
  async chooseSuccessor(role: Role): Promise<string | undefined> {
    // An instance that stops asks for all its roles at once: each is asked for alone, but they are chosen together.
    if (this.#choice === undefined || performance.now() - this.#choice.at > CHOICE_VALID_MS) {
      const { instance, led } = this.#options;
      this.#choice = { successors: this.chooseSuccessors([...led(), role], instance), at: performance.now() };
    }
    return (await this.#choice.successors).get(role.id);
  }

  /** Who should take over the roles of an instance that stops, or is dead. */
  async chooseSuccessors(roles: readonly Role[], leaving: string): Promise<Map<string, string>> {
    const distinct = [...new Map(roles.map((role) => [role.id, role])).values()];
    return chooseSuccessors(distinct, leaving, await this.#members());
  }

  /** Hands roles over, if that is due. Returns how long to wait before the next check, in milliseconds. */
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

  /** An instance that is paused looks alive for a while and takes nothing: it gets nothing more for now. */
  #noteDeclined(): void {
    const { holders, led, instance, logger } = this.#options;
    const holderOf = (id: string) => {
      if (led().some((role) => role.id === id)) return instance;
      const holder = holders().find(({ holdings }) => holdings.some(({ role }) => role.id === id));
      // What was read before it was handed over does not count.
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
   * The living instances with what they lead. Sources that fail are left out: each failure moves them to another instance,
   * and that must not make the others move.
   */
  async #members(): Promise<Member[]> {
    const { control, keys, instance, holders, led } = this.#options;
    const living = await livingInstances(control, keys);
    const held = new Map<string, readonly Role[]>(
      holders().map((holder) => [holder.instance, holder.holdings.map(({ role }) => role)]),
    );
    // Of itself, an instance knows best.
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
