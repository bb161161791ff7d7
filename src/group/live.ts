import type { TermEntry } from '../leadership/term';
import type { ErrorLink } from './errorChain';

/** What the live view shows of a group of instances, and what it can do there. Times are milliseconds since 1970 on Redis's clock. */
export interface LiveGroup {
  read(): Promise<LiveState>;
  /** Puts failed messages back in the queue: those of the given errors, or all that have failed so far. */
  retry(which: readonly ShownError[] | 'all'): Promise<{ done: number; left: readonly string[] }>;
  /** Removes errors: the given ones unless they have changed, or all that exist now. */
  clear(which: readonly ShownError[] | 'all'): Promise<{ done: number; left: readonly string[] }>;
  /** One error in full: its stack and causes. Undefined if there is none by that id. */
  details(id: string): Promise<LiveErrorDetails | undefined>;
}

/** An error in full, as a row of the page unfolds to it. */
export interface LiveErrorDetails {
  readonly failedAt: string;
  /** The error, its causes and the errors inside it. */
  readonly chain: readonly ErrorLink[];
  /** The message's data as JSON, cut where it is very long. */
  readonly data: string;
  /** Says why there is no more to show; empty if there is. */
  readonly note: string;
}

/** An error as a page names it. A message that fails again at another time is a different error. */
export interface ShownError {
  readonly id: string;
  readonly failedAt: string;
}

/** The state of the group. Each section is sent to the pages when it has changed. */
export interface LiveState {
  readonly now: number;
  readonly leader: LiveLeader;
  /** Who keeps the group's promises; without `instance`, nobody. */
  readonly keeper: { readonly instance?: string; readonly term?: number; readonly since: number };
  /** The oldest first. */
  readonly instances: readonly LiveInstance[];
  /** By name; without named sources one, whose name is null. */
  readonly sources: readonly LiveSource[];
  readonly messages: LiveMessages;
  /** By whom and since when, as far as that is known; null while it is not paused. */
  readonly paused: { readonly generating: LivePause | null; readonly handling: LivePause | null };
  /** The last failure of each role whose work has failed: those that nobody leads now come first. */
  readonly failures: readonly LiveFailure[];
  readonly errors: LiveErrors;
  /** The newest first. */
  readonly terms: readonly LiveTerm[];
  readonly history: LiveHistory;
}

/** The generator. Without `instance`, nobody holds the lease. */
export interface LiveLeader {
  readonly instance?: string;
  readonly term?: number;
  readonly since?: number;
  /** False if it still holds the lease but its process is gone. */
  readonly present?: boolean;
  /** Since when there has been no leader, if the last one announced its end. */
  readonly vacantSince?: number;
}

export interface LiveInstance {
  readonly instance: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly handled: number;
  readonly failed: number;
  /** Messages completed or failed per second, over the last ten seconds; null until that is known. */
  readonly rate: number | null;
  /** `silent`: its process is connected but has not reported for longer than it should. `dead`: it is not connected. */
  readonly state: 'alive' | 'silent' | 'dead';
  /** Whether it can become a generator. */
  readonly generates: boolean;
  /** Messages that have been active there for unusually long, and background activities that make no progress. */
  readonly slow: number;
  readonly stalled: readonly string[];
  /** When it last reported; of one that is not alive only. */
  readonly heardAt?: number;
  /** The address of its own board. */
  readonly board?: { readonly host: string; readonly port: number };
}

export interface LivePause {
  readonly by?: string | undefined;
  /** ISO 8601. */
  readonly since?: string | undefined;
}

export interface LiveSource {
  readonly source: string | null;
  readonly leader: string | null;
  readonly term: number | null;
  /** Messages ever committed. */
  readonly generated: number;
  /** JSON, cut where it is long; empty before the first commit. */
  readonly cursor: string;
  readonly state: 'generating' | 'finished' | 'paused' | 'failed' | 'vacant';
  readonly pause: LivePause | null;
  /** Messages committed a second, over the last ten seconds; null until that is known. */
  readonly rate: number | null;
}

/** Why the work of a role has failed. Times are by the clock of the instance on which it failed. */
export interface LiveFailure {
  /** Id of the role. */
  readonly role: string;
  readonly source: string | null;
  /** Where it failed. */
  readonly instance: string;
  /** Who leads the role now. */
  readonly leader: string | null;
  readonly name: string;
  readonly text: string;
  readonly stack: string;
  /** Since when it fails, and when that instance tries again. */
  readonly since: number;
  readonly retryAt: number;
}

export interface LiveMessages {
  readonly generated: number;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  /** In total. */
  readonly completed: number;
  /** The size of the failed set. */
  readonly failed: number;
  /** Total number of messages that have failed on their last attempt, including those retried since. */
  readonly everFailed: number;
  /** Somebody has paused the queue: no message is handled. */
  readonly paused: boolean;
}

export interface LiveErrors {
  readonly total: number;
  /** Some of them, newest first. */
  readonly newest: readonly LiveError[];
}

export interface LiveError extends ShownError {
  readonly name: string;
  readonly text: string;
  /** The message's data as JSON, truncated if it is long. */
  readonly data: string;
  readonly attempts: number;
  readonly instance: string;
  /** Whether there is a failed message to retry. A record that was added by hand has none. */
  readonly retriable: boolean;
}

/** A term, with its source where sources have names. */
export type LiveTerm = TermEntry & { readonly source?: string };

export interface LiveHistory {
  readonly stepMs: number;
  /** Oldest first: time, waiting, active, delayed, and the total counts of completed, failed and generated. */
  readonly samples: readonly (readonly number[])[];
}
