import type { Config } from '../configuration/config';
import { AppError } from '../errors';
import { type GroupSource, readGroup, type SourceState } from '../group/read';
import { readPositions, setCursor } from '../operating/cursor';
import { namedSources, pickSource } from '../operating/sources';
import { whoAmI } from '../operating/whoAmI';
import type { PositionEntry } from '../leadership/term';
import { printable } from '../terminal/printable';
import type { Terminal } from './terminal';

type Output = Pick<Terminal, 'write' | 'tell'>;

/** Prints the position of each source, or of one. */
export async function showCursors(
  group: GroupSource,
  config: Pick<Config, 'sources'>,
  { json = false, source }: { json?: boolean; source?: string },
  { write }: Output,
): Promise<void> {
  const state = await readGroup(group);
  if (source !== undefined) pickSource(namedSources(state, config.sources), source);
  const shown = state.sources.filter(({ role }) => source === undefined || role.source === source);
  const texts = shown.map((each) => (json ? `${JSON.stringify(toJson(each))}\n` : toText(each)));
  await write(printable(texts.join(json ? '' : '\n')));
}

/**
 * Moves the cursor to `json`, or resets it if that is undefined.
 *
 * @throws AppError with exit code 2 for invalid usage, 1 if the current cursor is not the expected one
 */
export async function moveCursor(
  group: GroupSource,
  config: Pick<Config, 'sources'>,
  {
    json,
    expect,
    source: wanted,
  }: { json?: string | undefined; expect?: string | undefined; source?: string | undefined },
  { write, tell }: Output,
): Promise<void> {
  if (json !== undefined)
    requireJson('the cursor', json, 'a JSON value, such as 42, \'"text"\' or \'{"line":7}\'');
  if (expect !== undefined && expect !== 'none') requireJson('--expect', expect, 'a JSON value or none');
  const source = pickSource(namedSources(await readGroup(group), config.sources), wanted);
  const result = await setCursor(group, {
    ...{ source, cursorJson: json, by: whoAmI() },
    ...(expect !== undefined && { expect: { cursorJson: expect === 'none' ? undefined : expect } }),
  });
  if (!result.moved) {
    await write(`${printable(result.found ?? 'none')}\n`);
    throw new AppError(`the cursor is ${result.found ?? 'none'}, expected ${expect}; nothing has changed`, 1);
  }
  const { from = 'none', term, generated } = result;
  tell(
    printable(`cursor moved from ${from} to ${json ?? 'none'} (term ${term}, ${generated} generated so far)`),
  );
}

/** Prints the recorded positions, newest first. */
export async function showHistory(
  group: GroupSource,
  config: Pick<Config, 'sources'>,
  { json = false, source: wanted }: { json?: boolean; source?: string },
  { write, tell }: Output,
): Promise<void> {
  const source = pickSource(namedSources(await readGroup(group), config.sources), wanted);
  const entries = await readPositions(group.client, group.keys.source(source));
  if (entries.length === 0 && !json) return tell('no position is recorded');
  const lines = entries.map((entry) => (json ? JSON.stringify(entryToJson(entry)) : entryToText(entry)));
  await write(printable(lines.map((line) => `${line}\n`).join('')));
}

function toJson({ role, cursorJson, generated, record, state }: SourceState) {
  return {
    source: role.source ?? null,
    cursor: valueOf(cursorJson),
    generated,
    term: record?.term ?? 0,
    since: record?.since ?? null,
    state,
  };
}

function toText({ role, cursorJson, generated, record, state }: SourceState): string {
  const rows = [
    ...(role.source === undefined ? [] : [['source', role.source]]),
    ['cursor', cursorJson ?? 'none'],
    ['generated', String(generated)],
    ['term', record === undefined ? 'none' : `${record.term}, since ${record.since}, ${record.instance}`],
    ['state', state],
  ];
  return rows.map(([name, value]) => `${name!.padEnd(11)}${value}\n`).join('');
}

function entryToJson({ at, cursor, from, ...entry }: PositionEntry) {
  const time = new Date(at).toISOString();
  const isMove = entry.event !== 'term';
  return { at: time, ...entry, ...(isMove && { from: valueOf(from) }), cursor: valueOf(cursor) };
}

function entryToText({
  event,
  term,
  who,
  at,
  cursor = 'none',
  from = 'none',
  generated,
}: PositionEntry): string {
  const time = new Date(at).toISOString();
  const change = event === 'term' ? cursor : `${from} -> ${cursor}`;
  return `${time}  term ${String(term).padEnd(5)} ${event.padEnd(8)} ${who}  ${generated} generated  ${change}`;
}

/** Returns null for no cursor. Text that is not JSON, which no commit can have written, is returned unchanged. */
function valueOf(json: string | undefined): unknown {
  if (json === undefined) return null;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return json;
  }
}

function requireJson(what: string, text: string, expected: string): void {
  try {
    JSON.parse(text);
  } catch {
    const start = text.length > 60 ? `${text.slice(0, 60)}…` : text;
    throw new AppError(`${what} is ${JSON.stringify(start)}, expected ${expected}`, 2);
  }
}
