import type { Logger } from '../logger';
import type { Clock } from '../time';
import type { Lease } from './lease';

/** One unbroken leadership of this instance. */
export interface Term {
  /** 1, 2, 3, ... over all instances of the namespace. */
  readonly number: number;
  /** Aborts when this leadership ends, at the trust deadline at the latest. */
  readonly signal: AbortSignal;
  /**
   * False once the trust deadline has passed, even if the signal could not fire yet because something blocked the
   * event loop. To be asked right before anything that only a leader may do.
   */
  isTrusted(): boolean;
}

/** Why a leadership ended. */
export type StepDownCause = 'stopped' | 'lease lost' | 'trust deadline' | 'deposed' | 'failed';

export type RenewalOutcome = 'extended' | 'lost' | 'unanswered';

export interface ElectionOptions {
  readonly lease: Lease;
  /**
   * Writes this instance into the fencing record; gives the number of the new term. Is told for how long the lease had not
   * been renewed, in milliseconds, as far as this instance has seen.
   */
  takeTerm(unrenewedMs: number | undefined): Promise<number>;
  /**
   * The work of a leader. Should end soon after the term's signal aborts. Ending before means that nothing is left
   * to do: leadership is kept. A rejection gives leadership up; with a DeposedError, because a newer term exists.
   */
  lead(term: Term): Promise<void>;
  /** The term is over. Its lease is still held. */
  onEnding?(term: number, cause: StepDownCause): void;
  /** The lease has been given back: nobody leads. */
  onSteppedDown?(): void;
  /** Told after each campaign that did not win. */
  onFollowing?(): void;
  /** Told how each attempt to renew the lease went, and how many milliseconds it took. */
  onRenewal?(outcome: RenewalOutcome, tookMs: number): void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Time to live of the lease, in milliseconds. */
  readonly ttlMs: number;
  /** From 0 up to 1; spreads what many followers do. Default Math.random. */
  readonly random?: () => number;
}
