import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Holder } from '../leadership/holders';
import type { Role } from '../leadership/role';
import type { Logger } from '../logger';
import { livingInstances } from '../membership/registry';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import { type Member, type Move, planMoves, successorOf } from '../leadership/placement';

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

/** Pause between two looks, in milliseconds; shorter after a move, so that several follow each other quickly. */
const POLL_INTERVAL_MS = 2500;
const AFTER_MOVE_MS = 400;
/** How long membership must not have changed before anything is moved, in milliseconds. */
const STABLE_FOR_MS = 3000;

/** Hands over what this instance leads too much of, one role at a time, once membership is stable. */
export class Balancer {
  readonly #options: BalancerOptions;
  #seen = { members: '', since: performance.now() };

  constructor(options: BalancerOptions) {
    this.#options = options;
  }

  /** Runs until the signal aborts. An instance that leads nothing asks Redis nothing. */
  async run({ signal, progress }: Activity): Promise<void> {
    for (let pause = POLL_INTERVAL_MS; !signal.aborted;) {
      await sleep(pause, signal);
      if (signal.aborted) return;
      const move = this.#options.led().length === 0 ? undefined : await this.#nextMove();
      if (move !== undefined) {
        this.#options.logger.info('handing a role over to an instance that leads less', { ...move });
        this.#options.handOver(move.role, move.to);
      }
      pause = move === undefined ? POLL_INTERVAL_MS : AFTER_MOVE_MS;
      progress();
    }
  }

  /** Who should lead the role when this instance no longer does. */
  async chooseSuccessor(role: Role): Promise<string | undefined> {
    return successorOf(role, this.#options.instance, await this.#members());
  }

  async #nextMove(): Promise<Move | undefined> {
    const members = await this.#members();
    const names = members.map(({ instance }) => instance).join(' ');
    const now = performance.now();
    if (names !== this.#seen.members) this.#seen = { members: names, since: now };
    if (now - this.#seen.since < STABLE_FOR_MS) return undefined;
    return planMoves(members).find(({ from }) => from === this.#options.instance);
  }

  async #members(): Promise<Member[]> {
    const { control, keys, instance, holders, led } = this.#options;
    const living = await livingInstances(control, keys);
    const held = new Map(
      holders().map((holder) => [holder.instance, holder.holdings.map(({ role }) => role)]),
    );
    // Of itself, an instance knows best.
    held.set(instance, [...led()]);
    return living.map(({ instance: name, startedAt, generates = true, sources }) => ({
      instance: name,
      startedAt,
      generates,
      sources,
      roles: held.get(name) ?? [],
    }));
  }
}
