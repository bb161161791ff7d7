/*
 * The shapes of the data that an instance exposes: as JSON, and through the methods and events of an embedded instance.
 * They are a public contract, and refer to no type of a library.
 */
import type { ErrorDetails } from '../errorLog/details';

/** The leader of a role. */
export interface Leader {
  readonly instance: string;
  /** 1, 2, 3, ... */
  readonly term: number;
  /** ISO 8601. */
  readonly since: string;
}

/** The state of a whole group of instances. */
export interface Status {
  readonly namespace: string;
  /** Null while no instance holds the lease; always null with named sources, see `sources`. */
  readonly leader: Leader | null;
  /** Null while no instance holds the keeper's lease. */
  readonly keeper: Leader | null;
  readonly instances: readonly LivingInstance[];
  readonly messages: MessageCounts;
  readonly paused: { readonly generating: boolean; readonly handling: boolean };
  readonly sources: readonly SourceStatus[];
  /** Number of error records. */
  readonly errors: number;
}

/** A living instance. */
export interface LivingInstance {
  readonly instance: string;
  readonly host: string;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Whether it generates. */
  readonly leader: boolean;
  /** Messages that it has completed, and messages that finally failed on it. */
  readonly handled: number;
  readonly failed: number;
}

/** Messages of the group. */
export interface MessageCounts {
  readonly generated: number;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  /** Total number, including messages that are no longer stored. */
  readonly completed: number;
  readonly failed: number;
}

/** The state of one source. */
export interface SourceStatus {
  /** Null without named sources. */
  readonly source: string | null;
  readonly leader: Leader | null;
  /** Number of messages ever committed. */
  readonly generated: number;
  /** Null before the first commit. */
  readonly cursor: unknown;
  readonly state: 'generating' | 'finished' | 'paused' | 'failed' | 'vacant';
}

/** Whether an instance works now. */
export interface Readiness {
  readonly ready: boolean;
  /** Each check is `ok` or says what is wrong. */
  readonly checks: Readonly<Record<string, string>>;
}

/** A message that has failed on its last attempt. */
export interface FailedMessage<Message = unknown> {
  readonly id: string;
  /** The message's data. */
  readonly message: Message;
  readonly error: ErrorDetails;
  /** Attempts that ended in a failure. */
  readonly attempts: number;
}

/** A generator role that this instance has started or stopped leading. */
export interface Leadership {
  /** `generator`, or `generator:<source>`. */
  readonly role: string;
  /** Null without named sources. */
  readonly source: string | null;
  readonly term: number;
}

/** The events of an instance, and the arguments of their listeners. */
export interface InstanceEvents {
  /** This instance generates. */
  elected: Leadership;
  /** This instance no longer generates. */
  steppedDown: Leadership;
  /** A message has finally failed on this instance. Its record in the error log follows within two seconds. */
  messageFailed: FailedMessage;
  /** The result of `readiness()` has changed. Checked once a second while there is a listener. */
  ready: Readiness;
  unready: Readiness;
}
