import type { MessageCounts } from '../instance/shapes';
import type { TermEntry } from '../leadership/term';
import type { ErrorLink } from './errorChain';

/** What the live view shows of a group of instances, and what it can do there. Times are milliseconds since 1970 on Redis's clock. */
export interface LiveGroup {
  read(): Promise<LiveState>;
  /** Requeues failed messages: those of the given errors, or all that have failed so far. */
  retry(which: readonly ShownError[] | 'all'): Promise<{ done: number; left: readonly string[] }>;
  /** Removes errors: the given ones unless they have changed, or all that exist now. */
  clear(which: readonly ShownError[] | 'all'): Promise<{ done: number; left: readonly string[] }>;
  /** Returns one error in full, with its stack and causes. Undefined if no error has that id. */
  details(id: string): Promise<LiveErrorDetails | undefined>;
}

/** One error in full, as shown when a row of the page is expanded. */
export interface LiveErrorDetails {
  readonly failedAt: string;
  /** The error, its causes and its nested errors. */
  readonly chain: readonly ErrorLink[];
  /** The message's data as JSON, truncated if it is very long. */
  readonly data: string;
  /** Explains why there is nothing more to show; empty otherwise. */
  readonly note: string;
}

/** An error as a page identifies it. If a message fails again, that is a different error. */
export interface ShownError {
  readonly id: string;
  readonly failedAt: string;
}

/** The state of the group. A section is sent to the pages whenever it has changed. */
export interface LiveState {
  readonly now: number;
  readonly leader: LiveLeader;
  /** The keeper; without `instance` there is none. */
  readonly keeper: { readonly instance?: string; readonly term?: number; readonly since: number };
  /** Oldest first. */
  readonly instances: readonly LiveInstance[];
  /** Sorted by name. Without named sources there is one, whose name is null. */
  readonly sources: readonly LiveSource[];
  readonly messages: LiveMessages;
  /** Who paused and when, as far as known; null while not paused. */
  readonly paused: { readonly generating: LivePause | null; readonly handling: LivePause | null };
  /** The last failure of each role whose work has failed; roles without a leader come first. */
  readonly failures: readonly LiveFailure[];
  readonly errors: LiveErrors;
  /** Newest first. */
  readonly terms: readonly LiveTerm[];
  readonly history: LiveHistory;
}

/** The generator. Without `instance`, no instance holds the lease. */
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
  /** Messages completed or failed per second, over the last ten seconds; null until known. */
  readonly rate: number | null;
  /** `silent`: its process is connected but has not reported for longer than it should. `dead`: it is not connected. */
  readonly state: 'alive' | 'silent' | 'dead';
  /** Whether it can become a generator. */
  readonly generates: boolean;
  /** Number of unusually long-running messages, and names of stalled background activities. */
  readonly slow: number;
  readonly stalled: readonly string[];
  /** Time of its last report; present only if it is not alive. */
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
  /** JSON, truncated if long; empty before the first commit. */
  readonly cursor: string;
  readonly state: 'generating' | 'finished' | 'paused' | 'failed' | 'vacant';
  readonly pause: LivePause | null;
  /** Messages committed per second, over the last ten seconds; null until known. */
  readonly rate: number | null;
}

/** Why the work of a role has failed. Times are by the clock of the instance on which it failed. */
export interface LiveFailure {
  /** Id of the role. */
  readonly role: string;
  readonly source: string | null;
  /** The instance on which it failed. */
  readonly instance: string;
  /** The instance that leads the role now. */
  readonly leader: string | null;
  readonly name: string;
  readonly text: string;
  readonly stack: string;
  /** When it first failed, and when that instance retries. */
  readonly since: number;
  readonly retryAt: number;
}

export interface LiveMessages extends MessageCounts {
  /** Total number of messages that have failed on their last attempt, including those retried since. */
  readonly everFailed: number;
  /** Handling is paused: no message is handled. */
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
  /** Whether there is a failed message to retry. A record that was added manually has none. */
  readonly retriable: boolean;
}

/** A term, with its source if the sources have names. */
export type LiveTerm = TermEntry & { readonly source?: string };

export interface LiveHistory {
  readonly stepMs: number;
  /** Oldest first: time, waiting, active, delayed, and the total counts of completed, failed and generated. */
  readonly samples: readonly (readonly number[])[];
}
