import type { Status } from '../instance/shapes';
import { type GroupSource, type GroupState, readGroup } from './read';

/** The state of the group, as `status --json` prints it. */
export async function readStatus(source: GroupSource): Promise<Status> {
  return toStatus(await readGroup(source));
}

/** Projects the state of the group. Its shape is a public contract. */
export function toStatus({
  namespace,
  instances,
  keeper,
  sources,
  messages,
  paused,
  errors,
}: GroupState): Status {
  const { generated, waiting, active, delayed, completed, failed } = messages;
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
    messages: { generated, waiting, active, delayed, completed, failed },
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

/** A cursor that is not JSON, which no commit can have written, is returned unchanged. */
function cursorOf(json: string | undefined): unknown {
  if (json === undefined) return null;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return json;
  }
}
