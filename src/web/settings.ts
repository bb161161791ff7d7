import type { Queue } from 'bullmq';
import type { Logger } from '../logging/logger';
import type { LiveGroup } from '../group/live';
import type { OperatedGroup } from '../operating/pause';
import type { Readiness } from '../instance/shapes';

export interface BoardSettings {
  /** Host name or address to bind to. */
  host: string;
  /** Port to bind to. If it is in use, the next free one is used. 0: any free port. */
  port: number;
  /** Requires a password. Undefined: any user name is accepted. */
  user?: string | undefined;
  /** Undefined: no password is required. */
  password?: string | undefined;
  /** Nothing can be retried, removed or changed. */
  readOnly: boolean;
}

/** What an instance reports to probes and Prometheus. */
export interface Probes {
  /** Answers `/healthz`: whether this process works. */
  isHealthy: () => boolean;
  /** Answers `/readyz`, within a second. */
  readiness: () => Promise<Readiness>;
  /** Answers `/metrics`, in Prometheus's text format. */
  metrics: () => Promise<string>;
}

/** What the board shows, and its sources. */
export interface BoardOptions extends Probes {
  queue: Queue;
  /** What the live view shows and changes. */
  group: LiveGroup;
  /** The group that the live view operates; undefined: it only shows it. */
  groupSource?: OperatedGroup | undefined;
  settings: BoardSettings;
  namespace: string;
  /** Name of the instance that serves the board. */
  instance: string;
  logger: Pick<Logger, 'info' | 'warn'>;
}
