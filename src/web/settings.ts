import type { Queue } from 'bullmq';
import type { Logger } from '../logger';
import type { LiveGroup } from '../group/live';

export interface BoardSettings {
  /** Host name or address to bind to. */
  host: string;
  /** Port to bind to; a taken one makes way for the next free one. 0: any free port. */
  port: number;
  /** With a password only. Undefined: any user name will do. */
  user?: string | undefined;
  /** Undefined: no password is asked for. */
  password?: string | undefined;
  /** Nothing can be retried, removed or changed. */
  readOnly: boolean;
}

/** Whether an instance does its work now: `ok` for each check that it passes, else what is wrong. */
export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, string>>;
}

/** What an instance answers to machines that watch it. */
export interface Probes {
  /** Whether this process works: answers `/healthz`. */
  isHealthy: () => boolean;
  /** Answers `/readyz`, within a second. */
  readiness: () => Promise<Readiness>;
  /** Answers `/metrics`, in Prometheus's text format. */
  metrics: () => Promise<string>;
}

/** What the board shows and whom it asks. */
export interface BoardOptions extends Probes {
  queue: Queue;
  /** What the live view shows and changes. */
  group: LiveGroup;
  settings: BoardSettings;
  namespace: string;
  /** The instance whose board this is. */
  instance: string;
  logger: Pick<Logger, 'info' | 'warn'>;
}
