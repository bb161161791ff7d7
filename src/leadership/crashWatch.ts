/*
 * The crash watch: a follower's eye on the leader's presence, so that a leader whose process has died is replaced at
 * once and not when its lease runs out.
 *
 * Only a leader that was seen alive can be seen to be gone, and seen on this very connection: after a Redis restart, or
 * a reconnect of one's own, nobody is subscribed for a moment. Absent twice in a row, and still the holder of the same
 * lease under the same term, it loses that lease, and this instance campaigns.
 *
 * A suspicion may be wrong, as when the leader's subscription alone was cut. That costs a hand-over and never a
 * message: the fence makes it safe.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logger';
import { sleep } from '../time';
import type { RedisLease } from './lease';
import { presentAmong } from '../membership/presence';
import { type LeaderRecord, markEnd, readLeader } from './term';

export interface CrashWatchOptions {
  readonly control: Redis;
  readonly keys: Keys;
  readonly lease: Pick<RedisLease, 'holder' | 'evict'>;
  /** Whether this instance leads itself; then there is nobody to watch. */
  readonly isLeading: () => boolean;
  /** The leader is gone and its lease is free. */
  readonly onGone: () => void;
  readonly logger: Logger;
}

/** Pause between two looks, in milliseconds: one command each, spread so that many followers look at different times. */
const LOOK_MS = { least: 130, most: 230 };
/** Pause before the look that confirms an absence, in milliseconds. */
const CONFIRM_MS = 30;
/** How long to go without asking who leads, in milliseconds, should an announcement have been missed. */
const RELEARN_MS = 5000;

interface Watched {
  readonly leader: LeaderRecord;
  readonly leaseSecret: string;
  readonly learntAt: number;
  /** When it was last seen alive; undefined if it never was. */
  aliveAt: number | undefined;
}

export class CrashWatch {
  readonly #options: CrashWatchOptions;
  readonly #stopping = new AbortController();
  #watching: Promise<void> | undefined;
  #watched: Watched | undefined;
  #relearn = new AbortController();

  constructor(options: CrashWatchOptions) {
    this.#options = options;
    // What was seen on a connection that broke proves nothing.
    options.control.on('close', () => (this.#watched = undefined));
  }

  start(): void {
    this.#watching ??= this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  /** There is a new leader: looks at once who it is. */
  relearn(): void {
    this.#watched = undefined;
    this.#relearn.abort();
  }

  async #watch(): Promise<void> {
    const { isLeading, logger } = this.#options;
    const signal = this.#stopping.signal;
    while (!signal.aborted) {
      this.#relearn = new AbortController();
      try {
        if (!isLeading()) await this.#look();
      } catch (error) {
        this.#watched = undefined;
        logger.debug('the leader can not be watched', { error: toError(error) });
      }
      await sleep(
        LOOK_MS.least + Math.random() * (LOOK_MS.most - LOOK_MS.least),
        signal,
        this.#relearn.signal,
      );
    }
  }

  async #look(): Promise<void> {
    if (this.#watched === undefined || performance.now() - this.#watched.learntAt > RELEARN_MS) {
      this.#watched = await this.#learn(this.#watched);
    }
    const watched = this.#watched;
    if (watched === undefined) return;
    if (await this.#isPresent(watched)) {
      const { instance: generator, term } = watched.leader;
      if (watched.aliveAt === undefined) this.#options.logger.info('following', { generator, term });
      watched.aliveAt = performance.now();
      return;
    }
    if (watched.aliveAt === undefined) return;
    await sleep(CONFIRM_MS, this.#stopping.signal);
    if (await this.#isPresent(watched)) return;
    // A connection that broke in between has made everything seen on it void.
    if (this.#watched === watched && !this.#stopping.signal.aborted)
      await this.#evict(watched, watched.aliveAt);
  }

  async #evict({ leader, leaseSecret }: Watched, aliveAt: number): Promise<void> {
    const { control, keys, lease, onGone, logger } = this.#options;
    this.#watched = undefined;
    const now = await readLeader(control, keys);
    if (now?.instance !== leader.instance || now.term !== leader.term) return;
    logger.info('the generator is gone', { generator: leader.instance, term: leader.term });
    // Not waited for: a term is taken on this same connection, and finds the mark there.
    const { instance, term } = leader;
    markEnd(control, keys, { instance, term, cause: 'crash', agoMs: performance.now() - aliveAt }).catch(
      (error: unknown) => logger.debug('the crash is not on record', { error: toError(error) }),
    );
    await lease.evict(leaseSecret);
    onGone();
  }

  /** Who leads, and under which lease; that it was seen alive is kept only for the very same leadership. */
  async #learn(known: Watched | undefined): Promise<Watched | undefined> {
    const { control, keys, lease } = this.#options;
    const [leader, leaseSecret] = await Promise.all([readLeader(control, keys), lease.holder()]);
    if (leader === undefined || leaseSecret === undefined) return undefined;
    const same = known?.leader.term === leader.term && known.leaseSecret === leaseSecret;
    return { leader, leaseSecret, learntAt: performance.now(), aliveAt: same ? known.aliveAt : undefined };
  }

  async #isPresent({ leader }: Watched): Promise<boolean> {
    const { control, keys } = this.#options;
    return (await presentAmong(control, keys, [leader.instance])).has(leader.instance);
  }
}
