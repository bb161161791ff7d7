import { DeposedError, toError } from '../errors';
import { inFull, type Logger } from '../logging/logger';
import { aborted } from '../time';
import type { HeldLease } from './lease';
import type { ElectionOptions, RenewalOutcome, StepDownCause, Term } from './options';
import { type Timings, timingsOf } from './timings';
import type { TrustDeadline } from './trustDeadline';

export interface TenureOptions extends Pick<
  ElectionOptions,
  'role' | 'lead' | 'onRenewal' | 'clock' | 'ttlMs'
> {
  readonly number: number;
  readonly held: HeldLease;
  readonly trust: TrustDeadline;
  readonly logger: Logger;
}

/** How a term has ended. */
export interface TenureEnd {
  readonly cause: StepDownCause;
  /** What the work of the term threw; with the cause `failed` only. */
  readonly error?: Error;
  /** Milliseconds. */
  readonly lastedMs: number;
}

/** One term, from the moment it is taken until its work has ended. The lease is still held then. */
export class Tenure {
  readonly term: Term;
  readonly #options: TenureOptions;
  readonly #timings: Timings;
  readonly #over = new AbortController();
  #error: Error | undefined;

  constructor(options: TenureOptions) {
    this.#options = options;
    this.#timings = timingsOf(options.ttlMs);
    const { signal } = this.#over;
    const isTrusted = () => !signal.aborted && options.trust.remainingMs() > 0;
    this.term = { number: options.number, signal, isTrusted };
  }

  get isLate(): boolean {
    return this.#options.trust.isLate;
  }

  end(cause: StepDownCause): void {
    this.#over.abort(cause);
  }

  async run(): Promise<TenureEnd> {
    const { clock, role, logger } = this.#options;
    const startedAt = clock.now();
    logger.info(`elected: this instance is the ${role.kind}`);
    const working = [this.#work(), this.#watchTrust(), this.#renew()];
    await aborted(this.term.signal);
    const lastedMs = clock.now() - startedAt;
    const cause = this.term.signal.reason as StepDownCause;
    const ended = await Promise.race([
      Promise.all(working).then(() => true),
      clock.sleep(this.#timings.endOfTerm.ms).then(() => false),
    ]);
    if (!ended)
      logger.warn('the work of this term has not ended; the fence refuses what it might still send');
    logger.info('stepped down', { cause });
    return { cause, lastedMs, ...(this.#error && { error: this.#error }) };
  }

  async #work(): Promise<void> {
    try {
      await this.#options.lead(this.term);
    } catch (thrown) {
      if (this.term.signal.aborted) return;
      if (thrown instanceof DeposedError) return this.end('deposed');
      const error = (this.#error = toError(thrown));
      const what = this.#options.role.kind === 'generator' ? 'generating' : 'the work of the keeper';
      this.#options.logger.error(`${what} failed: giving up leadership so that another instance can try`, {
        error: inFull(error),
      });
      this.end('failed');
    }
  }

  /** Ends the term at the trust deadline, which each renewal postpones. */
  async #watchTrust(): Promise<void> {
    const { clock, trust } = this.#options;
    while (!this.term.signal.aborted) {
      const remaining = trust.remainingMs();
      if (remaining <= 0) return this.end('trust deadline');
      await clock.sleep(remaining, this.term.signal);
    }
  }

  /**
   * Renews every third of the lease's time to live, sooner after a failure. All terms of an instance renew at the same
   * times of its clock, whenever each began, so that their renewals share a round trip.
   */
  async #renew(): Promise<void> {
    const { held, trust, clock, logger, onRenewal } = this.#options;
    const { renewalInterval, renewalRetry } = this.#timings;
    for (let outcome: RenewalOutcome = 'extended'; ;) {
      // Taking the term might have taken a long time.
      const isOverdue = trust.sinceRenewalMs() >= renewalInterval.ms;
      const untilCommonTime = renewalInterval.ms - (clock.now() % renewalInterval.ms);
      let pause = untilCommonTime + (untilCommonTime < renewalRetry.ms ? renewalInterval.ms : 0);
      if (outcome !== 'extended' || isOverdue) pause = renewalRetry.ms;
      await clock.sleep(pause, this.term.signal);
      if (this.term.signal.aborted) return;
      const startedAt = clock.now();
      outcome = await held.extend().catch((error: unknown) => {
        logger.debug('the lease could not be renewed; retrying', { error: toError(error) });
        return 'unanswered' as const;
      });
      onRenewal?.(outcome, clock.now() - startedAt);
      if (outcome === 'lost') return this.end('lease lost');
      if (outcome === 'extended') trust.renewed(startedAt);
    }
  }
}
