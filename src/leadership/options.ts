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
   * False once the trust deadline has passed, even if a blocked event loop has kept the signal from firing. Check it
   * right before anything that only a leader may do.
   */
  isTrusted(): boolean;
}

/** Why a leadership ended. */
export type StepDownCause =
  'stopped' | 'handed over' | 'lease lost' | 'trust deadline' | 'deposed' | 'failed' | 'term not taken';

/** Causes after which the leader is still running, so it can name a successor and record why the term ended. */
export const IN_ORDER: ReadonlySet<StepDownCause> = new Set(['stopped', 'handed over', 'failed']);

export type RenewalOutcome = 'extended' | 'lost' | 'unanswered';

/** Why the last term of an election failed. */
export interface Failure {
  readonly error: Error;
  /** Milliseconds since 1970: when the first failure since the last success happened. */
  readonly since: number;
  /** Milliseconds since 1970: when this instance campaigns again. */
  readonly retryAt: number;
}

export interface ElectionOptions {
  readonly role: Pick<Role, 'id' | 'kind'>;
  readonly lease: Lease;
  /** Writes this instance into the fencing record and returns the number of the new term. */
  takeTerm(): Promise<number>;
  /**
   * The work of a leader. It should end soon after the term's signal aborts. If it resolves earlier, nothing is left to
   * do, and leadership is kept. If it rejects, leadership is given up; a DeposedError means that a newer term exists.
   */
  lead(term: Term): Promise<void>;
  /**
   * Returns the instance that should lead next; called when this instance steps down in order. Undefined: any instance.
   */
  readonly chooseSuccessor?: () => Promise<string | undefined>;
  /** The term is over, but its lease is still held. */
  onEnding?(term: number, cause: StepDownCause): void;
  /** The lease has been released: nobody leads. */
  onSteppedDown?(successor: string | undefined): void;
  /** Called after each campaign that did not win. */
  onFollowing?(): void;
  /** Called after each attempt to renew the lease, with its outcome and its duration in milliseconds. */
  onRenewal?(outcome: RenewalOutcome, tookMs: number): void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Time to live of the lease, in milliseconds. */
  readonly ttlMs: number;
  /** How often to campaign without being woken, in milliseconds. Default: a third of the time to live. */
  readonly pollMs?: number;
  /** Waits so that other instances can go first; resolves early when the signal aborts. */
  readonly beforeCampaign?: (signal: AbortSignal) => Promise<void>;
  /** Returns a number from 0 up to 1 that spreads the actions of many followers. Default: Math.random. */
  readonly random?: () => number;
}
