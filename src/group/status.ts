import type { LeaderRecord } from '../leadership/term';
import { type GroupSource, type GroupState, readGroup, type SourceState } from './read';

/** The state of a whole group of instances. Its shape is a promise. */
export interface Status {
  readonly namespace: string;
  /** Null while nobody holds the lease; always null with named sources, see `sources`. */
  readonly leader: LeaderRecord | null;
  /** Null while nobody holds the keeper's lease. */
  readonly keeper: LeaderRecord | null;
  readonly instances: readonly {
    readonly instance: string;
    readonly host: string;
    readonly pid: number;
    readonly startedAt: string;
    /** Whether it generates. */
    readonly leader: boolean;
    readonly handled: number;
    readonly failed: number;
  }[];
  readonly messages: GroupState['messages'];
  readonly paused: { readonly generating: boolean; readonly handling: boolean };
  readonly sources: readonly {
    /** Null without named sources. */
    readonly source: string | null;
    readonly leader: LeaderRecord | null;
    readonly generated: number;
    /** Null before the first commit. */
    readonly cursor: unknown;
    readonly state: SourceState['state'];
  }[];
  readonly errors: number;
}

export async function readStatus(source: GroupSource): Promise<Status> {
  return toStatus(await readGroup(source));
}

export function toStatus({
  namespace,
  instances,
  keeper,
  sources,
  messages,
  paused,
  errors,
}: GroupState): Status {
  const leaders = new Set(sources.map(({ leader }) => leader?.instance));
  const unnamed = sources.find(({ role }) => role.source === undefined);
  return {
    namespace,
    leader: unnamed?.leader ?? null,
    keeper: keeper.leader ?? null,
    instances: instances
      .filter(({ state }) => state === 'alive')
      .map(({ instance, host, pid, startedAt, handled, failed }) => {
        return { instance, host, pid, startedAt, leader: leaders.has(instance), handled, failed };
      }),
    messages,
    paused: {
      generating: paused.generating !== undefined,
      handling: paused.handling !== undefined,
    },
    sources: sources.map(({ role, leader, generated, cursorJson, state }) => ({
      source: role.source ?? null,
      leader: leader ?? null,
      generated,
      cursor: cursorOf(cursorJson),
      state,
    })),
    errors,
  };
}

/** A cursor that is not JSON, which nobody can have committed, is shown as it is. */
function cursorOf(json: string | undefined): unknown {
  if (json === undefined) return null;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return json;
  }
}
