/** Name of the BullMQ queue. */
export const QUEUE_NAME = 'messages';

/** Name of every job of a task without named sources. */
export const JOB_NAME = 'message';

/**
 * Every Redis key and channel of one group of instances. The braces are a Redis Cluster hash tag: all keys of a
 * namespace are in one slot, so that a commit can be one transaction.
 */
export interface Keys {
  /** The keys of the keeper. */
  readonly keeper: RoleKeys;
  /** The keys of one source; without a name, of the generator of a task without named sources. */
  source(name?: string): SourceKeys;
  /** Hash, field `generating`: who paused generation, and when (JSON); absent if it is not paused. */
  readonly paused: string;
  /** Hash, role to the instance and term that took it last: all fencing records in one read. */
  readonly roles: string;
  /** Prefix that BullMQ puts before `:messages:*`. */
  readonly queuePrefix: string;
  /** Hash, job id to error record. */
  readonly errors: string;
  /** Hash, the error recorder's place in the event stream: position. */
  readonly recorder: string;
  /** Hash, instance name to the instance's last report. */
  readonly instances: string;
  /** List, oldest first: samples of how many messages were in which state over the last minutes. */
  readonly history: string;
  /** BullMQ's own keys: read but never written, except `failed` (errorLog.ts) and `stalledCheck` (stalledCheck.ts). */
  readonly waiting: string;
  readonly prioritized: string;
  readonly active: string;
  readonly delayed: string;
  readonly meta: string;
  readonly jobCounter: string;
  readonly failed: string;
  readonly events: string;
  readonly stalledCheck: string;
  /** Hash, a job. */
  job(jobId: string): string;
  /** String, the token of the holder of the job's lock. */
  lock(jobId: string): string;
  /** Channel on which leaders announce that they have been elected or have stepped down. */
  readonly leadership: string;
  /** Channel that only the named instance subscribes to: it has a subscriber while that process lives. */
  presence(instance: string): string;
  /** Name of every Redis connection of the instance (CLIENT LIST shows it). */
  connectionName(instance: string): string;
}

/** Keys of a role: a duty that exactly one instance holds at a time. */
export interface RoleKeys {
  /** String, the Redlock lease. */
  readonly lease: string;
  /** Hash, the fencing record: instance, term, since. */
  readonly leader: string;
  /** Hash, how the newest ended term came to its end: term, cause, note, at. */
  readonly ended: string;
  /** List, newest first: each term as it was taken, with the cause of the previous term's end. */
  readonly terms: string;
}

export interface SourceKeys extends RoleKeys {
  /** Hash, what has been committed: cursor, generated, term. */
  readonly cursor: string;
  /** List, newest first: the position at the start of each term, and the positions that were replaced manually. */
  readonly positions: string;
}

export function keysOf(namespace: string): Keys {
  const prefix = `{${namespace}}`;
  const queue = `${prefix}:${QUEUE_NAME}`;
  const sourceKeys = (root: string): SourceKeys => ({
    lease: `${root}:lease`,
    leader: `${root}:leader`,
    ended: `${root}:ended`,
    terms: `${root}:terms`,
    cursor: `${root}:cursor`,
    positions: `${root}:positions`,
  });
  return {
    keeper: {
      lease: `${prefix}:lease:keeper`,
      leader: `${prefix}:keeper`,
      ended: `${prefix}:ended:keeper`,
      terms: `${prefix}:terms:keeper`,
    },
    source: (name) => sourceKeys(name === undefined ? prefix : `${prefix}:source:${name}`),
    paused: `${prefix}:paused`,
    roles: `${prefix}:roles`,
    queuePrefix: prefix,
    errors: `${prefix}:errors`,
    recorder: `${prefix}:recorder`,
    instances: `${prefix}:instances`,
    history: `${prefix}:history`,
    waiting: `${queue}:wait`,
    prioritized: `${queue}:prioritized`,
    active: `${queue}:active`,
    delayed: `${queue}:delayed`,
    meta: `${queue}:meta`,
    jobCounter: `${queue}:id`,
    failed: `${queue}:failed`,
    events: `${queue}:events`,
    stalledCheck: `${queue}:stalled-check`,
    leadership: `${prefix}:leadership`,
    job: (jobId) => `${queue}:${jobId}`,
    lock: (jobId) => `${queue}:${jobId}:lock`,
    presence: (instance) => `${prefix}:presence:${instance}`,
    connectionName: (instance) => `${prefix}:${instance}`,
  };
}
