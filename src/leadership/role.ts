/*
 * Roles, and the words of this program.
 *
 * - role: a duty that exactly one instance holds at a time. Each role has its own lease, fencing record and terms.
 * - keeper: the role that does the work every task needs: it records errors, redelivers the messages of dead instances,
 *   takes samples and prunes old reports.
 * - generator: the role that runs the task's `generate`. Each source has one.
 * - source: a name under which messages are generated, with its own generator and cursor. A task without named sources
 *   has one source without a name.
 * - lease: the time-bounded right to a role. It decides who should lead; the fence decides who can.
 * - leader, follower: an instance that holds a role, and one that does not.
 * - campaign: an attempt to acquire the lease. renew: to extend it. step down: to give the role up.
 * - term: one unbroken leadership, numbered 1, 2, 3, ... over all instances.
 * - fence: the check in Redis that refuses a stale term. It watches the fencing record, which names the newest term.
 * - trust deadline: the time until which a leader trusts its lease without an answer from Redis.
 * - presence: the subscription that shows that an instance's process is connected.
 * - message: what a task makes and handles. A job is its BullMQ envelope. An attempt is one run of its handler.
 * - cursor: where generation continues. A commit stores messages and cursor together. The backlog is the waiting
 *   messages.
 * - error record: what is stored about a message that finally failed.
 */
import type { Keys, RoleKeys, SourceKeys } from '../keys';

export interface Role {
  /** `keeper`, `generator`, or `generator:<source>`: as announced, stored and shown. */
  readonly id: string;
  readonly kind: 'keeper' | 'generator';
  /** Name of the source that a generator generates from; undefined for the keeper and without named sources. */
  readonly source: string | undefined;
  readonly keys: RoleKeys;
}

export interface GeneratorRole extends Role {
  readonly kind: 'generator';
  readonly keys: SourceKeys;
}

export function keeperRole(keys: Pick<Keys, 'keeper'>): Role {
  return { id: 'keeper', kind: 'keeper', source: undefined, keys: keys.keeper };
}

/** @param source name of the source; undefined for the generator of a task without named sources */
export function generatorRole(keys: Pick<Keys, 'source'>, source?: string): GeneratorRole {
  const id = source === undefined ? 'generator' : `generator:${source}`;
  return { id, kind: 'generator', source, keys: keys.source(source) };
}
