/** What an instance says of itself; stored as JSON, stamped with Redis's clock. */
export interface InstanceReport {
  readonly host: string;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Messages that this instance has completed, and that finally failed on it. */
  readonly handled: number;
  readonly failed: number;
  /** Whether it may become a generator. */
  readonly generates?: boolean;
  /** The named sources that it campaigns for; absent without named sources. */
  readonly sources?: readonly string[];
  /** What it does, or last failed to do, in the roles that it campaigns for. */
  readonly roles?: readonly RoleReport[];
  /** How many of its activities are stalled, and messages active for unusually long. */
  readonly stalled?: readonly string[];
  readonly slow?: number;
  /** Where its board listens, if it has one. */
  readonly board?: { readonly host: string; readonly port: number };
}

/** A role in the eyes of one instance. */
export interface RoleReport {
  readonly role: string;
  /** The term that it leads; absent while it does not lead. */
  readonly term?: number;
  readonly state: 'leading' | 'generating' | 'finished' | 'paused' | 'failed';
  /** Why its last term failed. */
  readonly failure?: {
    readonly name: string;
    readonly message: string;
    readonly stack: string;
    /** Milliseconds since 1970: since when it fails, and when it is tried again. */
    readonly since: number;
    readonly retryAt: number;
  };
}
