// Names for the sources of a variable that lists several files or addresses, used by ../lines.mjs and ../feed.mjs.
import { createHash } from 'node:crypto';

const MAX_SOURCES = 256;
const MAX_NAME_LENGTH = 64;

/**
 * The entries of a list by the name of their source: the label, with `_` for invalid characters. If another
 * entry before it has that name, or the name is too long, the name ends with a hash of the entry. So an entry that is
 * added at the end of the list changes no other name.
 *
 * @throws Error saying what is wrong with the list
 */
export function nameSources(variable, entries, labelOf) {
  const isList = entries.every((entry) => entry !== '') && new Set(entries).size === entries.length;
  if (!isList || entries.length > MAX_SOURCES) {
    throw new Error(
      `${variable} lists ${entries.length} entries, expected 1 to ${MAX_SOURCES} different ones, none of them empty`,
    );
  }
  const byName = new Map();
  for (const entry of entries) {
    const label = labelOf(entry).replace(/[^A-Za-z0-9_-]+/g, '_');
    const hash = createHash('sha256').update(entry).digest('hex').slice(0, 8);
    const isFree = label !== '' && label.length <= MAX_NAME_LENGTH && !byName.has(label);
    byName.set(isFree ? label : `${label.slice(0, MAX_NAME_LENGTH - 9)}-${hash}`, entry);
  }
  return byName;
}

/** What a task exports as `sources`: undefined for a single entry, which then has the keys of an unnamed source. */
export function sourcesOf(byName) {
  return byName.size > 1 ? [...byName.keys()] : undefined;
}

/**
 * The entry that a source stands for.
 *
 * @throws Error if there is none, for example if SOURCES names others
 */
export function entryOf(byName, source) {
  if (source === undefined && byName.size === 1) return [...byName.values()][0];
  if (byName.has(source)) return byName.get(source);
  const names = [...byName.keys()].join(', ');
  throw new Error(`the source is ${source ?? 'not named'}, expected one of ${names} (SOURCES)`);
}
