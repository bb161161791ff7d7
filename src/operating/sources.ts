import { AppError } from '../errors';
import type { GroupState } from '../group/read';

/** Names of the group's sources: those that Redis knows, and those that are configured here. Empty without named ones. */
export function namedSources(
  state: Pick<GroupState, 'sources'>,
  configured: readonly string[] = [],
): string[] {
  const known = state.sources.flatMap(({ role }) => (role.source === undefined ? [] : [role.source]));
  return [...new Set([...known, ...configured])].sort();
}

/**
 * The source that a command is about; undefined for the one without a name.
 *
 * @throws AppError (exit code 2) naming the sources, if one of them must be named, or another one
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
