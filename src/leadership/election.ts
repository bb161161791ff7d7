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
 * rely on the lease alone: every commit is also fenced by the term (generating/committer.ts).
 *
 * Trust deadline. A leader trusts its lease until the start of the last successful acquire or extend, plus the lease's
 * time to live, less a margin, on the monotonic clock, whether or not Redis answers. The deadline is anchored to the
 * *start* of the command, because Redis cannot have started the time to live any earlier. (The rule of River's
 * elector.)
 *
 * Order of stepping down: the term's signal aborts; the work of the term ends (with a time limit: the fence refuses
 * whatever still runs); the lease is released; the hand-over is announced. If the lease were released earlier, two
 * leaders would work at once, and only the fence would keep them apart.
 *
 * A term whose work fails is given up, and this instance does not campaign again for a while, longer after each failure
 * in a row, so that another instance can try. The same applies to a lease under which no term could be taken.
 *
 * Followers rarely poll. An announcement wakes them when a role becomes vacant, or the crash watch does, which watches
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

  /** Whether this instance holds the lease, including while it takes the term and after the term has ended. */
  get engaged(): boolean {
    return this.#engaged;
  }

  /** Whether this instance leads and its lease should have been renewed by now. */
  get overdue(): boolean {
    return this.#tenure?.isLate === true;
  }

  /** Why the last term of this instance failed; undefined after a later success. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Steps down, if leading, and ends the election for this instance. Resolves when the role has been released. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /**
   * Campaigns soon instead of at the next poll, because the role might be vacant.
   *
   * @param delayMs how long to let other instances go first, in milliseconds
   */
  wake(delayMs = 0): void {
    this.#wake.abort(delayMs);
  }

  /** Steps down, if leading, so that `successor` (or any other instance) can lead. */
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
      // Armed before the attempt, so that a wake-up during the attempt is not lost.
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

  /**
   * Leads if the lease is free, and returns why that ended. Returns undefined if another instance leads or Redis did
   * not answer.
   */
  async #campaign(): Promise<StepDownCause | undefined> {
    const { lease, clock } = this.#options;
    try {
      // A failed acquire costs a second script, which releases. A check first keeps followers cheap.
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
    // A newer term exists: either another instance leads, or somebody moved the cursor and nobody leads.
    if (cause === 'deposed') return 0;
    return cause === 'term not taken' ? failurePause.ms : renewalRetry.ms;
  }

  /** Runs from the acquired lease until leadership is given up. */
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
      const { kind } = this.#options.role;
      log.warn(`elected ${kind}, but the term could not be taken: leaving it to other instances`, {
        error: toError(error),
      });
      cause = 'term not taken';
    }
    await this.#release(held, trust, log);
    this.#options.onSteppedDown?.(successor);
    return cause;
  }

  /**
   * Until the lease is released or expires, no other instance can lead. Redis might refuse writes at this moment. A renewal
   * without an answer can reach it after the trust deadline, over a link that was broken: hence another time to live.
   */
  async #release(held: HeldLease, trust: TrustDeadline, log: Logger): Promise<void> {
    for (;;) {
      try {
        return await held.release();
      } catch (error) {
        log.debug('the lease was not released', { error: toError(error) });
        if (trust.remainingMs() <= (this.#stopping.signal.aborted ? 0 : -this.#options.ttlMs)) return;
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
      log.debug('no successor could be chosen', { error: toError(error) });
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

  /** A failure after a term that lasted longer than the longest pause starts a new count. */
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
