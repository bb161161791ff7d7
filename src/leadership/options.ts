import type { Logger } from '../logging/logger';
import type { Clock } from '../time';
import type { Lease } from './lease';
import type { Role } from './role';

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
export type StepDownCause =
  'stopped' | 'handed over' | 'lease lost' | 'trust deadline' | 'deposed' | 'failed' | 'term not taken';

/** Causes after which the leader is there to name a successor and to say why the term has ended. */
export const IN_ORDER: ReadonlySet<StepDownCause> = new Set(['stopped', 'handed over', 'failed']);

export type RenewalOutcome = 'extended' | 'lost' | 'unanswered';

/** What an election tells of itself. */
export interface Failure {
  readonly error: Error;
  /** Milliseconds since 1970: when it first failed without having succeeded since. */
  readonly since: number;
  /** Milliseconds since 1970: when this instance campaigns again. */
  readonly retryAt: number;
}

export interface ElectionOptions {
  readonly role: Pick<Role, 'id' | 'kind'>;
  readonly lease: Lease;
  /** Writes this instance into the fencing record and gives the number of the new term. */
  takeTerm(): Promise<number>;
  /**
   * The work of a leader. Should end soon after the term's signal aborts. Ending before means that nothing is left
   * to do: leadership is kept. A rejection gives leadership up; with a DeposedError, because a newer term exists.
   */
  lead(term: Term): Promise<void>;
  /** Who should lead next; asked when this instance steps down in order. Undefined: anybody. */
  readonly chooseSuccessor?: () => Promise<string | undefined>;
  /** The term is over. Its lease is still held. */
  onEnding?(term: number, cause: StepDownCause): void;
  /** The lease has been given back: nobody leads. */
  onSteppedDown?(successor: string | undefined): void;
  /** Told after each campaign that did not win. */
  onFollowing?(): void;
  /** Told how each attempt to renew the lease went, and how many milliseconds it took. */
  onRenewal?(outcome: RenewalOutcome, tookMs: number): void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Time to live of the lease, in milliseconds. */
  readonly ttlMs: number;
  /** How often to campaign without having been woken, in milliseconds. Default a third of the time to live. */
  readonly pollMs?: number;
  /** Waits so that others can go first; ends early when the signal aborts. */
  readonly beforeCampaign?: (signal: AbortSignal) => Promise<void>;
  /** From 0 up to 1; spreads what many followers do. Default Math.random. */
  readonly random?: () => number;
}
