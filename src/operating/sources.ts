import { AppError } from '../errors';
import type { GroupState } from '../group/read';

/** Returns the names of the group's sources: those in Redis, and those configured here. Empty without named sources. */
export function namedSources(
  state: Pick<GroupState, 'sources'>,
  configured: readonly string[] = [],
): string[] {
  const known = state.sources.flatMap(({ role }) => (role.source === undefined ? [] : [role.source]));
  return [...new Set([...known, ...configured])].sort();
}

/**
 * Returns the source that a command applies to; undefined for an unnamed one.
 *
 * @throws AppError (exit code 2) listing the sources, if --source is missing, unexpected or unknown
 */
export function pickSource(named: readonly string[], wanted: string | undefined): string | undefined {
  if (wanted !== undefined && named.includes(wanted)) return wanted;
  if (wanted === undefined && named.length === 0) return undefined;
  const found = wanted === undefined ? 'not given' : JSON.stringify(wanted);
  const expected =
    named.length === 0
      ? 'no --source: this group has no named sources (SOURCES can name some)'
      : `one of ${named.join(', ')}`;
  throw new AppError(`--source is ${found}, expected ${expected}`, 2);
}
