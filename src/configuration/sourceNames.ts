/** Maximum number of sources of one group. */
const MAX_SOURCES = 256;

const SOURCE_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** The requirements of a list of sources, as error messages show them. */
export const EXPECTED_SOURCES = `1 to ${MAX_SOURCES} different names of 1 to 64 characters each, of A-Z a-z 0-9 _ -`;

/** Whether these are valid names of sources. Untrusted: the list can come from a task. */
export function areSources(names: unknown): names is readonly string[] {
  if (!Array.isArray(names) || names.length < 1 || names.length > MAX_SOURCES) return false;
  if (new Set(names).size !== names.length) return false;
  return names.every((name) => typeof name === 'string' && SOURCE_NAME.test(name));
}
