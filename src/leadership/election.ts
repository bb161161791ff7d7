/*
 * Election: which instance holds a role.
 *
 *                  lease acquired, term taken
 *      follower ────────────────────────────────► leader
 *         ▲                                          │
 *         └──────────────────────────────────────────┘
 *            lease lost · trust deadline passed · the work of the term failed · handed over · told to stop
 *
 * The lease only decides who *should* lead. A paused process cannot know that its lease has expired, so nothing may
 * rest on it alone: every commit is fenced by the term as well (generating/committer.ts).
 *
 * Trust deadline. Leadership is believed until the start of the last successful acquire or extend, plus the lease's
 * time to live, less a margin, on the monotonic clock, whatever Redis answers or does not answer. It is anchored to
 * the *start* of the command, since Redis cannot have begun to count the time to live any earlier. (The rule of
 * River's elector.)
 *
 * Order of stepping down: the term's signal aborts; the work of the term ends (waited for, but not for ever: what
 * still runs is refused by the fence); the lease is released; the hand-over is announced. Released any earlier,
 * two leaders would be at work at once, and the fence would have to make up for it.
 *
 * A term whose work fails is given up, and this instance does not campaign again for a while, longer each time in a
 * row, so that another can try. So is a lease under which no term could be taken.
 *
 * Followers do not poll often. Whoever knows of a vacancy wakes them: an announcement, or the crash watch, which watches
 * the leases and leaders of all roles for the whole process (crashWatch.ts).
 */
import { toError } from '../errors';
import type { Logger } from '../logging/logger';
import { withDeadline } from '../time';
import type { HeldLease } from './lease';
import { type ElectionOptions, type Failure, IN_ORDER, type StepDownCause, type Term } from './options';
import { Tenure, type TenureEnd } from './tenure';
import { type Timings, timingsOf } from './timings';
import { TrustDeadline } from './trustDeadline';
import { UnansweredCampaigns } from './unansweredCampaigns';

export class Election {
  readonly #options: ElectionOptions;
  readonly #timings: Timings;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #wake = new AbortController();
  #failuresInARow = 0;
  #failure: Failure | undefined;
  #tenure: Tenure | undefined;
  #successor: string | undefined;
  #engaged = false;
  readonly #unanswered: UnansweredCampaigns;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#timings = timingsOf(options.ttlMs);
    this.#unanswered = new UnansweredCampaigns(options.ttlMs, options.logger);
  }

  /** The term that this instance leads, if it does. */
  get term(): Term | undefined {
    return this.#tenure?.term;
  }

  /** Whether it holds the lease, also while the term is being taken or has ended. */
  get engaged(): boolean {
    return this.#engaged;
  }

  /** Whether this instance leads and its lease should have been renewed by now. */
  get overdue(): boolean {
    return this.#tenure?.isLate === true;
  }

  /** Why the last term of this instance failed; undefined once a later one has not. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Steps down, if leading, and ends the election for this instance. Resolves when leadership has been given away. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /**
   * Campaigns soon instead of at the next turn: there is reason to think that nobody leads.
   *
   * @param delayMs how long to let others go first, in milliseconds
   */
  wake(delayMs = 0): void {
    this.#wake.abort(delayMs);
  }

  /** Steps down, if leading, so that `successor` (or anybody else) can lead. */
  handOver(successor: string | undefined): void {
    this.#successor = successor;
    this.#tenure?.end('handed over');
  }

  /** Steps down, if leading an older term than `newest`. */
  depose(newest: number): void {
    if ((this.term?.number ?? Infinity) < newest) this.#tenure?.end('deposed');
  }

  async #run(): Promise<void> {
    const { clock, ttlMs, pollMs = this.#timings.leasePoll.ms, random = Math.random } = this.#options;
    const stopping = this.#stopping.signal;
    for (let delay = 0; !stopping.aborted;) {
      this.#wake = new AbortController();
      await clock.sleep(delay, stopping, this.#wake.signal);
      await this.#options.beforeCampaign?.(stopping);
      if (stopping.aborted) return;
      // Armed before the attempt: what happens while it is under way is not missed.
      const wake = (this.#wake = new AbortController());
      const cause = await this.#campaign();
      if (cause !== undefined) {
        await clock.sleep(this.#pauseAfter(cause), stopping);
        delay = 0;
        continue;
      }
      this.#options.onFollowing?.();
      await clock.sleep(Math.max(pollMs, ttlMs / 30) * (0.75 + random() * 0.5), stopping, wake.signal);
      delay = wake.signal.aborted ? Number(wake.signal.reason) : 0;
    }
  }

  /** Leads, if the lease is free. Gives why that has ended; undefined if another instance leads, or nobody knows. */
  async #campaign(): Promise<StepDownCause | undefined> {
    const { lease, clock } = this.#options;
    try {
      // A failed acquire costs a second script, which releases. A look first keeps followers cheap.
      const heldForMs = await lease.heldForMs();
      this.#unanswered.reset();
      if (heldForMs > 0) return undefined;
      const startedAt = clock.now();
      const held = await lease.acquire();
      if (held === undefined) return undefined;
      this.#engaged = true;
      return await this.#serve(held, startedAt).finally(() => (this.#engaged = false));
    } catch (error) {
      this.#unanswered.add(toError(error));
      return undefined;
    }
  }

  #pauseAfter(cause: StepDownCause): number {
    const { failurePause, maxFailurePause, handoverPause, renewalRetry } = this.#timings;
    if (cause === 'failed')
      return Math.min(failurePause.ms * 2 ** (this.#failuresInARow - 1), maxFailurePause.ms);
    if (cause === 'handed over') return handoverPause.ms;
    // A newer term exists: another instance leads, or somebody has moved the cursor and nobody does.
    if (cause === 'deposed') return 0;
    return cause === 'term not taken' ? failurePause.ms : renewalRetry.ms;
  }

  /** From a lease acquired to leadership given back. */
  async #serve(held: HeldLease, acquiredAt: number): Promise<StepDownCause> {
    const { clock, logger, ttlMs } = this.#options;
    const trust = new TrustDeadline(clock, ttlMs, acquiredAt);
    let log = logger;
    let cause: StepDownCause;
    let successor: string | undefined;
    try {
      const number = await withDeadline(
        this.#options.takeTerm(),
        Math.min(trust.remainingMs(), ttlMs / 2),
        'taking the term',
        clock,
      );
      log = logger.child({ term: number });
      cause = await this.#lead(number, held, trust, log);
      successor = await this.#chooseSuccessor(cause, log);
      this.#options.onEnding?.(number, cause);
    } catch (error) {
      log.warn(`elected ${this.#options.role.kind}, but the term could not be taken: leaving it to others`, {
        error: toError(error),
      });
      cause = 'term not taken';
    }
    await this.#release(held, trust, log);
    this.#options.onSteppedDown?.(successor);
    return cause;
  }

  /** Redis might refuse writes at this moment. Until the lease is released, or expires, nobody else can lead. */
  async #release(held: HeldLease, trust: TrustDeadline, log: Logger): Promise<void> {
    for (;;) {
      try {
        return await held.release();
      } catch (error) {
        log.debug('the lease was not released', { error: toError(error) });
        if (trust.remainingMs() <= 0) return;
        await this.#options.clock.sleep(this.#timings.renewalRetry.ms);
      }
    }
  }

  async #chooseSuccessor(cause: StepDownCause, log: Logger): Promise<string | undefined> {
    const { chooseSuccessor, clock } = this.#options;
    if (cause === 'handed over' && this.#successor !== undefined) return this.#successor;
    if (chooseSuccessor === undefined || !IN_ORDER.has(cause)) return undefined;
    return withDeadline(
      chooseSuccessor(),
      this.#timings.leaseCommandTimeout.ms,
      'choosing a successor',
      clock,
    ).catch((error: unknown) => {
      log.debug('no successor is named', { error: toError(error) });
      return undefined;
    });
  }

  async #lead(number: number, held: HeldLease, trust: TrustDeadline, logger: Logger): Promise<StepDownCause> {
    if (this.#stopping.signal.aborted) return 'stopped';
    const tenure = new Tenure({ ...this.#options, number, held, trust, logger });
    const stop = () => tenure.end('stopped');
    const forget = () => (this.#tenure = undefined);
    this.#stopping.signal.addEventListener('abort', stop, { once: true });
    tenure.term.signal.addEventListener('abort', forget, { once: true });
    this.#successor = undefined;
    this.#tenure = tenure;
    const end = await tenure.run();
    this.#stopping.signal.removeEventListener('abort', stop);
    this.#countFailure(end);
    return end.cause;
  }

  /** A term that lasted longer than the longest pause was no failure in a row. */
  #countFailure({ cause, error, lastedMs }: TenureEnd): void {
    if (error === undefined) {
      this.#failuresInARow = 0;
      this.#failure = undefined;
      return;
    }
    const inARow = lastedMs <= this.#timings.maxFailurePause.ms;
    this.#failuresInARow = inARow ? this.#failuresInARow + 1 : 1;
    const now = Date.now();
    const since = (inARow && this.#failure?.since) || now;
    this.#failure = { error, since, retryAt: now + this.#pauseAfter(cause) };
  }
}
