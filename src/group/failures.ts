import { cut, withoutHead } from './errorChain';
import type { LiveFailure } from './live';
import type { GroupState, RoleState } from './read';

/** Maximum length of a failure's message and of its stack, in characters. */
const MAX_TEXT = 1000;
const MAX_STACK = 2000;
/** How long a failure is shown after another instance has taken the role over, in milliseconds. */
const SHOWN_FOR_MS = 10 * 60_000;

/**
 * The last failure of each role, as reported by the instances on which it failed; roles that are failing now come
 * first.
 */
export function failuresOf({ now, instances, keeper, sources }: GroupState): LiveFailure[] {
  const roles = new Map<string, RoleState>([keeper, ...sources].map((state) => [state.role.id, state]));
  const newest = new Map<string, LiveFailure>();
  for (const { instance, state, roles: reports = [] } of instances) {
    if (state === 'dead') continue;
    for (const { role: id, failure } of reports) {
      const known = roles.get(id);
      if (failure === undefined || known === undefined) continue;
      const leader = known.leader?.instance ?? null;
      if (leader !== null && now - failure.retryAt > SHOWN_FOR_MS) continue;
      if ((newest.get(id)?.retryAt ?? 0) > failure.retryAt) continue;
      newest.set(id, {
        role: id,
        source: known.role.source ?? null,
        ...{ instance, leader, since: failure.since, retryAt: failure.retryAt },
        name: cut(failure.name, 200),
        text: cut(failure.message, MAX_TEXT),
        stack: cut(withoutHead(failure.stack), MAX_STACK),
      });
    }
  }
  return [...newest.values()].sort(
    (a, b) => Number(a.leader !== null) - Number(b.leader !== null) || (a.role < b.role ? -1 : 1),
  );
}
