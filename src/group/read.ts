/*
 * The only module that reads the state of the group. Status, live view and metrics are projections of it.
 */
import type { Redis } from 'ioredis';
import type { MessageCounts } from '../instance/shapes';
import type { Keys } from '../keys';
import type { LeaseNodes } from '../leadership/lease';
import { generatorRole, type GeneratorRole, keeperRole, type Role } from '../leadership/role';
import { type LeaderRecord, parseLeader } from '../leadership/term';
import { type KnownInstance, knownInstances } from '../membership/registry';
import { type Pause, parsePause } from '../generating/pause';

export interface GroupSource {
  readonly client: Redis;
  readonly keys: Keys;
  readonly namespace: string;
  readonly leases: Pick<LeaseNodes, 'holders'>;
}

/** The leader of a role. */
export interface RoleState {
  readonly role: Role;
  /** Undefined while no instance holds the lease. */
  readonly leader: LeaderRecord | undefined;
  /** The fencing record, whether or not its lease is held. */
  readonly record: LeaderRecord | undefined;
}

export const SOURCE_STATES = ['generating', 'finished', 'paused', 'failed', 'vacant'] as const;

export interface SourceState extends RoleState {
  readonly role: GeneratorRole;
  /** Number of messages ever committed. */
  readonly generated: number;
  /** JSON; undefined before the first commit. */
  readonly cursorJson: string | undefined;
  readonly pause: Pause | undefined;
  readonly state: (typeof SOURCE_STATES)[number];
}

export interface GroupState {
  readonly namespace: string;
  /** Milliseconds since 1970 on Redis's clock. */
  readonly now: number;
  /** Oldest first. */
  readonly instances: readonly KnownInstance[];
  readonly keeper: RoleState;
  /** Sorted by name. Without named sources there is one, without a name. */
  readonly sources: readonly SourceState[];
  readonly messages: MessageCounts;
  readonly paused: {
    /** Generation of all sources. */
    readonly generating: Pause | undefined;
    /** Handling: BullMQ's own pause. Who paused it is known only if it was one of this program's commands. */
    readonly handling: Pause | undefined;
  };
  /** Number of error records. */
  readonly errors: number;
}

type Hash = Record<string, string>;

export async function readGroup({ client, keys, namespace, leases }: GroupSource): Promise<GroupState> {
  const [{ now, instances }, recorded] = await Promise.all([
    knownInstances(client, keys),
    client.hgetall(keys.roles),
  ]);
  const roles = sourceNames(instances, recorded).map((name) => generatorRole(keys, name));
  const keeper = keeperRole(keys);
  const everyRole = [keeper, ...roles];
  const [secrets, leaders, cursors, unnamed, paused, everything] = await Promise.all([
    // Without a majority of nodes no instance holds a lease.
    leases.holders(everyRole.map((role) => role.keys.lease)).catch((): undefined[] => []),
    Promise.all(everyRole.map((role) => client.hgetall(role.keys.leader))),
    Promise.all(roles.map((role) => client.hgetall(role.keys.cursor))),
    client.hget(keys.source().cursor, 'generated'),
    client.hgetall(keys.paused),
    // At one moment: a message on its way from one state to another would count twice, or not at all.
    client
      .multi()
      .llen(keys.waiting)
      .zcard(keys.prioritized)
      .llen(keys.active)
      .zcard(keys.delayed)
      .zcard(keys.failed)
      .get(keys.jobCounter)
      .hget(keys.recorder, 'cleared')
      .hexists(keys.meta, 'paused')
      .hlen(keys.errors)
      .exec(),
  ]);
  const [wait = 0, prioritized = 0, active = 0, delayed = 0, failed = 0, ...further] = countsOf(everything);
  const [lastId = 0, cleared = 0, handlingPaused = 0, errors = 0] = further;
  const stateOf = (role: Role, index: number): RoleState => {
    const record = parseLeader(leaders[index]);
    return { role, record, leader: secrets[index] === undefined ? undefined : record };
  };
  const generating = parsePause(paused['generating']);
  const sources = roles.map((role, index) => {
    const state = stateOf(role, index + 1);
    const pause = generating ?? parsePause(paused[`generating:${role.source}`]);
    return { ...state, ...positionOf(cursors[index]!), role, pause, state: workOf(state, pause, instances) };
  });
  const waiting = wait + prioritized;
  const named = roles.some(({ source }) => source !== undefined);
  const generated = sources.reduce((sum, source) => sum + source.generated, named ? countOf(unnamed) : 0);
  return {
    namespace,
    now,
    instances,
    keeper: stateOf(keeper, 0),
    sources,
    messages: {
      ...{ generated, waiting, active, delayed, failed },
      // Every message that was added and is in no other state has completed. BullMQ could count it, at a cost for every
      // message.
      completed: Math.max(0, lastId - waiting - active - delayed - failed - cleared),
    },
    paused: { generating, handling: handlingPaused > 0 ? (parsePause(paused['handling']) ?? {}) : undefined },
    errors,
  };
}

/**
 * Returns the sources that an instance reports, and the sources that ever had a generator; one without a name if there
 * are none.
 */
function sourceNames(instances: readonly KnownInstance[], roles: Hash): (string | undefined)[] {
  const prefix = generatorRole({ source: () => undefined as never }, '').id;
  const recorded = Object.keys(roles).filter((id) => id.startsWith(prefix));
  const names = new Set([
    ...instances.flatMap(({ sources = [] }) => sources),
    ...recorded.map((id) => id.slice(prefix.length)),
  ]);
  return names.size === 0 ? [undefined] : [...names].sort();
}

function positionOf(hash: Hash): Pick<SourceState, 'generated' | 'cursorJson'> {
  return { generated: countOf(hash['generated']), cursorJson: hash['cursor'] };
}

function workOf(
  { role, leader }: RoleState,
  pause: Pause | undefined,
  instances: readonly KnownInstance[],
): SourceState['state'] {
  if (pause !== undefined) return 'paused';
  const reports = instances.flatMap(({ instance, state, roles = [] }) =>
    state === 'dead'
      ? []
      : roles.filter((each) => each.role === role.id).map((each) => ({ ...each, instance })),
  );
  if (leader === undefined) return reports.some(({ state }) => state === 'failed') ? 'failed' : 'vacant';
  const own = reports.find(({ instance }) => instance === leader.instance);
  return own?.state === 'finished' || own?.state === 'failed' ? own.state : 'generating';
}

/** The replies of a transaction, all of them counts. */
function countsOf(replies: readonly [Error | null, unknown][] | null): number[] {
  return (replies ?? []).map(([error, value]) => {
    if (error) throw error;
    return countOf(value);
  });
}

/** An invalid count, which this program did not write, counts as 0. */
function countOf(value: unknown): number {
  const count = Number(value ?? 0);
  return Number.isFinite(count) && count > 0 ? count : 0;
}
