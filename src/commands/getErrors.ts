import type { ErrorLog } from '../errorLog/errorLog';
import type { StoredError } from '../errorLog/pages';
import { parseErrorRecord } from '../errorLog/record';
import { printable } from '../terminal/printable';
import type { Write } from '../terminal/write';
import { errorLines, inline } from '../terminal/errorLines';

export interface GetErrorsOptions {
  readonly json?: boolean;
  /** Removes each error once it has been written. */
  readonly clear?: boolean;
  /** Maximum number of errors. Default: all. */
  readonly limit?: number;
  /** Writes the newest errors first instead of the oldest. */
  readonly newest?: boolean;
  /** Whether to write stacks. Default: false. */
  readonly stack?: boolean;
}

export interface GetErrorsResult {
  readonly written: number;
  /** Whether the reader closed the output before the end. */
  readonly cutShort: boolean;
}

/** Writes the recorded errors, oldest first. */
export async function getErrors(
  errorLog: Pick<ErrorLog, 'pages' | 'clear'>,
  options: GetErrorsOptions,
  write: Write,
): Promise<GetErrorsResult> {
  const { clear = false, limit = Infinity, newest = false } = options;
  let written = 0;
  for await (const page of errorLog.pages(newest ? 'newestFirst' : 'oldestFirst')) {
    const records = page.slice(0, limit - written);
    if (!(await write(records.map((record) => toText(record, options)).join(''))))
      return { written, cutShort: true };
    written += records.length;
    if (clear) await errorLog.clear(records);
    if (written >= limit) break;
  }
  return { written, cutShort: false };
}

/** Writes the errors of these messages, in the given order. Returns also the ids without an error. */
export async function getErrorsById(
  errorLog: Pick<ErrorLog, 'read' | 'clear'>,
  ids: readonly string[],
  options: Pick<GetErrorsOptions, 'json' | 'clear' | 'stack'>,
  write: Write,
): Promise<{ readonly missing: string[] }> {
  const missing: string[] = [];
  for (const id of new Set(ids)) {
    const record = await errorLog.read(id);
    if (record === undefined) missing.push(id);
    else if (!(await write(toText(record, options)))) return { missing: [] };
    else if (options.clear) await errorLog.clear([record]);
  }
  return { missing };
}

function toText(record: StoredError, { json = false, stack = false }: GetErrorsOptions): string {
  return json ? toJsonLine(record) : toBlock(record, stack);
}

/** Returns one JSON object on one line, whatever the record holds. */
function toJsonLine({ id, json }: StoredError): string {
  return `${printable(JSON.stringify(parseErrorRecord(json) ?? { id, unreadable: json }))}\n`;
}

function toBlock({ id, json }: StoredError, stack: boolean): string {
  const record = parseErrorRecord(json);
  if (record === undefined) {
    return printable(`message ${inline(id)}: invalid record: ${inline(json)}`) + '\n\n';
  }
  const { error, attempts, failedAt, instance, message, source } = record;
  const tries = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
  const lines = [
    `message ${inline(id)}  failed ${inline(failedAt)}`,
    ...errorLines(error, stack),
    `  ${tries}, the last on ${inline(instance)}`,
    ...(source === undefined ? [] : [`  source: ${inline(source)}`]),
    `  data: ${JSON.stringify(message)}`,
  ];
  return printable(lines.join('\n')) + '\n\n';
}
