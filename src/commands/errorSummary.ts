import { printable } from '../terminal/printable';
import type { ErrorLog } from '../errorLog/errorLog';
import type { Write } from '../terminal/write';
import { type GetErrorsResult, readRecord } from './getErrors';

/** Errors of one text: one line of `--summary --json`. */
interface Group {
  /** Null for all errors whose texts are too many to be told apart. */
  readonly error: { readonly name: string; readonly message: string } | null;
  count: number;
  /** When the first and the last of them failed, ISO 8601; null if the records do not say. */
  first: string | null;
  last: string | null;
  /** Id of the message that failed last. */
  example: string;
}

/** Texts told apart. What comes after is counted together, so that memory does not grow with the number of texts. */
const MOST_TEXTS = 1000;
/** Characters of a text by which it is told apart, and which are shown. */
const LONGEST_TEXT = 200;

/** Writes how many errors of each text are recorded, the most frequent first. */
export async function summarizeErrors(
  errorLog: Pick<ErrorLog, 'pages'>,
  { json = false }: { readonly json?: boolean },
  write: Write,
): Promise<GetErrorsResult> {
  const groups = new Map<string, Group>();
  let others: Group | undefined;
  for await (const page of errorLog.pages()) {
    for (const stored of page) {
      const record = readRecord(stored.json);
      const key = JSON.stringify({
        name: shorten(record?.error.name ?? 'unreadable record'),
        message: shorten(record?.error.message ?? ''),
      });
      let group = groups.get(key);
      if (group === undefined && groups.size < MOST_TEXTS) {
        // Read again: a piece of a string keeps all of that string in memory.
        const error = JSON.parse(key) as Group['error'];
        group = { error, count: 0, first: null, last: null, example: '' };
        groups.set(key, group);
      }
      group ??= others ??= { error: null, count: 0, first: null, last: null, example: '' };
      add(group, stored.id, record?.failedAt);
    }
  }

  // The sort is stable: among the equally frequent, the one that came up first.
  const sorted = [...groups.values()].sort((a, b) => b.count - a.count).concat(others ?? []);
  for (const group of sorted) {
    if (!(await write(json ? `${printable(JSON.stringify(group))}\n` : toBlock(group))))
      return { written: 0, cutShort: true };
  }
  return { written: sorted.length, cutShort: false };
}

function add(group: Group, id: string, failedAt: string | undefined): void {
  group.count++;
  const time = Date.parse(failedAt ?? '');
  if (Number.isNaN(time)) {
    group.example ||= id;
    return;
  }
  const iso = new Date(time).toISOString();
  // All of one form, so that their order as texts is their order in time.
  if (group.first === null || iso < group.first) group.first = iso;
  if (group.last !== null && iso < group.last) return;
  group.last = iso;
  group.example = id;
}

function toBlock({ error, count, first, last, example }: Group): string {
  const title = count === 1 ? '1 error' : `${count} errors`;
  const text =
    error === null
      ? `of other texts: only ${MOST_TEXTS} are told apart`
      : `${error.name}${error.message === '' ? '' : `: ${error.message}`}`;
  const [from, to] = [first ?? 'unknown', last ?? 'unknown'];
  const when = from === to ? `at ${from}` : `first ${from}, last ${to}`;
  return `${printable(`${title}\n  ${text}\n  ${when}, for example ${example.replaceAll('\n', '\\n')}`)}\n\n`;
}

/** The first line, as far as it goes. */
function shorten(text: string): string {
  const end = text.search(/[\r\n]/);
  const line = end === -1 ? text : text.slice(0, end);
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT - 1)}…` : line;
}
