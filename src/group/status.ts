import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { LeaseNodes } from '../leadership/lease';
import { livingInstances } from '../membership/registry';
import { type LeaderRecord, readLeader } from '../leadership/term';

/** The state of a whole group of instances. Its shape is a promise. */
export interface Status {
  readonly namespace: string;
  /** Null while nobody holds the lease. */
  readonly leader: LeaderRecord | null;
  /** Null while nobody holds the keeper's lease. */
  readonly keeper: LeaderRecord | null;
  readonly instances: readonly {
    readonly instance: string;
    readonly host: string;
    readonly pid: number;
    readonly startedAt: string;
    readonly leader: boolean;
    readonly handled: number;
    readonly failed: number;
  }[];
  readonly messages: {
    readonly generated: number;
    readonly waiting: number;
    readonly active: number;
    readonly delayed: number;
    /** Ever, also those that are no longer kept. */
    readonly completed: number;
    readonly failed: number;
  };
  readonly errors: number;
}

export interface StatusSource {
  readonly client: Redis;
  readonly queue: Queue;
  readonly keys: Keys;
  readonly namespace: string;
  readonly leases: Pick<LeaseNodes, 'holders'>;
}

export async function readStatus({ client, queue, keys, namespace, leases }: StatusSource): Promise<Status> {
  const [[held, keeperHeld], record, keeperRecord, living, generated, counts, completed, errors] =
    await Promise.all([
      // Without a majority of its nodes nobody holds it.
      leases.holders([keys.source().lease, keys.keeper.lease]).catch(() => []),
      readLeader(client, keys.source()),
      readLeader(client, keys.keeper),
      livingInstances(client, keys),
      client.hget(keys.cursor, 'generated'),
      queue.getJobCounts('wait', 'active', 'delayed', 'completed', 'failed'),
      queue.getMetrics('completed', 0, 0),
      client.hlen(keys.errors),
    ]);
  const leader = held !== undefined && record !== undefined ? record : null;
  return {
    namespace,
    leader,
    keeper: keeperHeld !== undefined && keeperRecord !== undefined ? keeperRecord : null,
    instances: living.map(({ instance, host, pid, startedAt, handled, failed }) => {
      return { instance, host, pid, startedAt, leader: instance === leader?.instance, handled, failed };
    }),
    messages: {
      generated: Number(generated ?? 0),
      waiting: counts['wait'] ?? 0,
      active: counts['active'] ?? 0,
      delayed: counts['delayed'] ?? 0,
      completed: Math.max(completed.meta.count, counts['completed'] ?? 0),
      failed: counts['failed'] ?? 0,
    },
    errors,
  };
}
