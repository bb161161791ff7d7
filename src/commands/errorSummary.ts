import type { ErrorLog } from '../errorLog/errorLog';
import { type ErrorRecord, parseErrorRecord } from '../errorLog/record';
import { printable } from '../terminal/printable';
import type { Write } from '../terminal/write';
import { inline } from '../terminal/errorLines';
import { taskFrame } from './errorText';
import type { GetErrorsResult } from './getErrors';

/** Errors of one kind: one line of `--summary --json`. */
interface Group {
  /** Null for all errors of other kinds, if there are too many kinds. */
  readonly error: {
    readonly name: string;
    /** The first line, with numbers and ids masked. */
    readonly message: string;
    /** The place in the task's own code that threw it. */
    readonly frame?: string;
  } | null;
  count: number;
  /** When the first and the last of them failed, ISO 8601; null if unknown. */
  first: string | null;
  last: string | null;
  /** Id of the message that failed last. */
  example: string;
}

/** Errors of any other kind are counted together, so that memory does not grow with their number. */
const MAX_GROUPS = 1000;
/** Number of characters of a text that are compared and shown. */
const MAX_TEXT = 200;

/** Writes how many errors of each kind are recorded, most frequent first. */
export async function summarizeErrors(
  errorLog: Pick<ErrorLog, 'pages'>,
  { json = false }: { readonly json?: boolean },
  write: Write,
): Promise<GetErrorsResult> {
  const groups = new Map<string, Group>();
  let others: Group | undefined;
  for await (const page of errorLog.pages()) {
    for (const stored of page) {
      const record = parseErrorRecord(stored.json);
      const key = keyOf(record);
      let group = groups.get(key);
      if (group === undefined && groups.size < MAX_GROUPS) {
        // Parsed from JSON again: a substring would keep the whole original string in memory.
        const error = JSON.parse(key) as Group['error'];
        group = { error, count: 0, first: null, last: null, example: '' };
        groups.set(key, group);
      }
      group ??= others ??= { error: null, count: 0, first: null, last: null, example: '' };
      add(group, stored.id, record?.failedAt);
    }
  }

  // The sort is stable: equally frequent kinds stay in order of appearance.
  const sorted = [...groups.values()].sort((a, b) => b.count - a.count).concat(others ?? []);
  for (const group of sorted) {
    if (!(await write(json ? `${printable(JSON.stringify(group))}\n` : toBlock(group))))
      return { written: 0, cutShort: true };
  }
  return { written: sorted.length, cutShort: false };
}

function keyOf(record: ErrorRecord | undefined): string {
  if (record === undefined) return JSON.stringify({ name: 'unreadable record', message: '' });
  const { error } = record;
  const frame = taskFrame(error);
  return JSON.stringify({
    name: shorten(error.name),
    message: maskIds(shorten(error.message)),
    ...(frame !== undefined && { frame: shorten(frame) }),
  });
}

/** Errors that differ only in numbers and ids are of the same kind. */
function maskIds(text: string): string {
  return text
    .replace(/(["'`])(?=[^"'`\s]*\d)[^"'`\s]+\1/g, '$1<id>$1')
    .replace(/\b(?=[a-f-]*\d)[0-9a-f]{8}(?:-?[0-9a-f]{4}){1,6}[0-9a-f]*\b/gi, '<id>')
    .replace(/(?<![\p{L}\d_])\d+(?:[.,:]\d+)*/gu, '<n>');
}

function add(group: Group, id: string, failedAt: string | undefined): void {
  group.count++;
  const time = Date.parse(failedAt ?? '');
  if (Number.isNaN(time)) {
    group.example ||= id;
    return;
  }
  const iso = new Date(time).toISOString();
  // All have the same format, so their text order is their time order.
  if (group.first === null || iso < group.first) group.first = iso;
  if (group.last !== null && iso < group.last) return;
  group.last = iso;
  group.example = id;
}

function toBlock({ error, count, first, last, example }: Group): string {
  const [from, to] = [first ?? 'unknown', last ?? 'unknown'];
  const lines = [
    count === 1 ? '1 error' : `${count} errors`,
    error === null
      ? `  of other kinds: only ${MAX_GROUPS} are distinguished`
      : `  ${error.name}${error.message === '' ? '' : `: ${error.message}`}`,
    ...(error?.frame === undefined ? [] : [`    ${error.frame}`]),
    `  ${from === to ? `at ${from}` : `first ${from}, last ${to}`}, for example ${inline(example)}`,
  ];
  return printable(lines.join('\n')) + '\n\n';
}

/** Returns the first line, truncated. */
function shorten(text: string): string {
  const end = text.search(/[\r\n]/);
  const line = end === -1 ? text : text.slice(0, end);
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT - 1)}…` : line;
}
