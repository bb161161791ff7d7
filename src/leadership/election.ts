/*
 * Election: which instance is the leader.
 *
 *                  lease acquired, term taken
 *      follower ────────────────────────────────► leader
 *         ▲                                          │
 *         └──────────────────────────────────────────┘
 *            lease lost · trust deadline passed · the work of the term ended · told to stop
 *
 * The lease only decides who *should* lead. A paused process can not know that its lease has run out, so nothing may
 * rest on it alone: every commit is fenced by the term as well (messages/commit.ts).
 *
 * Trust deadline. Leadership is believed until the start of the last successful acquire or extend, plus the lease's
 * time to live, less a margin, on the monotonic clock, whatever Redis answers or does not answer. It is anchored to
 * the *start* of the attempt, since Redis can not have begun to count the time to live any earlier. (The rule of
 * River's elector.)
 *
 * Order of stepping down: the term's signal aborts; the work of the term ends (waited for, but not for ever: what
 * still runs is refused by the fence); the lease is released; the hand-over is announced. Released any earlier,
 * two generators would be at work at once, and the fence would have to make up for it.
 *
 * A term whose work fails is given up, and this instance does not campaign again for a while, longer each time in a
 * row, so that another may try.
 */
import { DeposedError, toError } from '../errors';
import type { Logger } from '../logger';
import { aborted, withDeadline } from '../time';
import type { ElectionOptions, StepDownCause, Term } from './options';
import type { HeldLease } from './lease';
import { TrustDeadline } from './trustDeadline';

/** Longest wait for the work of a term to end once it is over, in milliseconds. */
const END_OF_TERM_MS = 1000;
/** Pause after a term whose work failed, in milliseconds: doubled for each failure in a row, up to the longest. */
const FAILURE_PAUSE_MS = 1000;
const LONGEST_FAILURE_PAUSE_MS = 60_000;
/** Spread of followers that all wait for the same lease to run out, in milliseconds. */
const EXPIRY_JITTER_MS = 20;

export class Election {
  readonly #options: ElectionOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #wake = new AbortController();
  #failuresInARow = 0;
  #term: Term | undefined;
  #trust: TrustDeadline | undefined;
  /** When the leader that was followed last renewed its lease, so far as the remaining time to live told. */
  #renewedAt: number | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  /** The term that this instance leads, if it does. */
  get term(): Term | undefined {
    return this.#term;
  }

  /** Whether this instance leads and its lease should have been renewed by now. */
  get overdue(): boolean {
    return this.#term !== undefined && this.#trust?.isLate === true;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Steps down, if leading, and ends the election for this instance. Resolves when leadership has been given away. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Campaigns now instead of at the next turn: there is reason to think that nobody leads. */
  wake(): void {
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { clock, logger, ttlMs, random = Math.random } = this.#options;
    const stopping = this.#stopping.signal;
    while (!stopping.aborted) {
      // Armed before the attempt: what happens while it is under way is not missed.
      this.#wake = new AbortController();
      const startedAt = clock.now();
      let heldForMs = Infinity;
      try {
        const outcome = await this.#options.lease.acquire();
        if (outcome.held !== undefined) {
          await this.#serve(outcome.held, startedAt);
          await clock.sleep(this.#failuresInARow > 0 ? this.#failurePause() : ttlMs / 30, stopping);
          continue;
        }
        heldForMs = outcome.heldForMs;
        this.#renewedAt = clock.now() - Math.max(0, ttlMs - heldForMs);
      } catch (error) {
        logger.debug('the lease can not be asked for', { error: toError(error) });
      }
      this.#options.onFollowing?.();
      // Right when it runs out, if it does: a leader that fell silent is replaced no later than its lease allows.
      const pause = Math.min((ttlMs / 3) * (0.75 + random() * 0.5), heldForMs + random() * EXPIRY_JITTER_MS);
      await clock.sleep(pause, stopping, this.#wake.signal);
    }
  }

  #failurePause(): number {
    return Math.min(FAILURE_PAUSE_MS * 2 ** (this.#failuresInARow - 1), LONGEST_FAILURE_PAUSE_MS);
  }

  /** From a lease acquired to leadership given back. */
  async #serve(held: HeldLease, acquiredAt: number): Promise<void> {
    const { clock, logger } = this.#options;
    const trust = new TrustDeadline(clock, this.#options.ttlMs, acquiredAt);
    let cause: StepDownCause;
    let log = logger;
    const unrenewedMs = this.#renewedAt === undefined ? undefined : clock.now() - this.#renewedAt;
    this.#renewedAt = undefined;
    try {
      const number = await withDeadline(
        this.#options.takeTerm(unrenewedMs),
        trust.remainingMs(),
        'taking the term',
        clock,
      );
      log = logger.child({ term: number });
      cause = await this.#leadUntilOver(number, held, trust, log);
      this.#options.onEnding?.(number, cause);
    } catch (error) {
      log.warn('elected, but the term could not be taken', { error: toError(error) });
      cause = 'lease lost';
    }
    const lastedLong = clock.now() - acquiredAt > LONGEST_FAILURE_PAUSE_MS;
    this.#failuresInARow = cause !== 'failed' ? 0 : lastedLong ? 1 : this.#failuresInARow + 1;
    await held
      .release()
      .catch((error: unknown) => log.debug('the lease was not released', { error: toError(error) }));
    this.#options.onSteppedDown?.();
  }

  async #leadUntilOver(
    number: number,
    held: HeldLease,
    trust: TrustDeadline,
    log: Logger,
  ): Promise<StepDownCause> {
    const { clock } = this.#options;
    if (this.#stopping.signal.aborted) return 'stopped';
    const over = new AbortController();
    const end = (cause: StepDownCause) => over.abort(cause);
    const stop = () => end('stopped');
    this.#stopping.signal.addEventListener('abort', stop, { once: true });

    const term: Term = {
      number,
      signal: over.signal,
      isTrusted: () => !over.signal.aborted && trust.remainingMs() > 0,
    };
    this.#term = term;
    this.#trust = trust;
    log.info('elected: this instance is the generator');
    const work = this.#options.lead(term).catch((thrown: unknown) => {
      if (over.signal.aborted) return;
      if (thrown instanceof DeposedError) return end('deposed');
      log.error('generating failed: leadership is given up', { error: toError(thrown) });
      end('failed');
    });
    const watching = this.#watchTrust(trust, over);
    const renewing = this.#renew(held, trust, over, log);

    await aborted(over.signal);
    this.#term = undefined;
    this.#stopping.signal.removeEventListener('abort', stop);
    const cause = over.signal.reason as StepDownCause;
    const ended = await Promise.race([
      Promise.all([work, watching, renewing]).then(() => true),
      clock.sleep(END_OF_TERM_MS).then(() => false),
    ]);
    if (!ended) log.warn('the work of this term has not ended; the fence refuses what it may still send');
    log.info('stepped down', { cause });
    return cause;
  }

  /** Ends the term at the trust deadline, which each renewal moves on. */
  async #watchTrust(trust: TrustDeadline, over: AbortController): Promise<void> {
    while (!over.signal.aborted) {
      const remaining = trust.remainingMs();
      if (remaining <= 0) return over.abort('trust deadline' satisfies StepDownCause);
      await this.#options.clock.sleep(remaining, over.signal);
    }
  }

  /** Renews every third of the lease's time to live; sooner again after a renewal without an answer. */
  async #renew(held: HeldLease, trust: TrustDeadline, over: AbortController, log: Logger): Promise<void> {
    const { clock, ttlMs } = this.#options;
    let pause = ttlMs / 3;
    for (;;) {
      await clock.sleep(pause, over.signal);
      if (over.signal.aborted) return;
      const startedAt = clock.now();
      const outcome = await held.extend().catch((error: unknown) => {
        log.debug('the lease could not be renewed; trying again', { error: toError(error) });
        return 'unanswered' as const;
      });
      this.#options.onRenewal?.(outcome, clock.now() - startedAt);
      if (outcome === 'lost') return over.abort('lease lost' satisfies StepDownCause);
      if (outcome === 'extended') trust.renewed(startedAt);
      pause = outcome === 'extended' ? ttlMs / 3 : ttlMs / 30;
    }
  }
}
