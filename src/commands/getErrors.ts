import type { ErrorLog } from '../errorLog/errorLog';
import type { StoredError } from '../errorLog/pages';
import type { ErrorRecord } from '../errorLog/record';
import { printable } from '../terminal/printable';
import type { Write } from '../terminal/write';

export interface GetErrorsOptions {
  readonly json?: boolean;
  /** Removes each error once it has been written. */
  readonly clear?: boolean;
  /** At most so many. Default: all. */
  readonly limit?: number;
}

export interface GetErrorsResult {
  readonly written: number;
  /** Whether the reader went away before the end. */
  readonly cutShort: boolean;
}

/** Writes the recorded errors, the oldest first. */
export async function getErrors(
  errorLog: Pick<ErrorLog, 'pages' | 'clear'>,
  { json = false, clear = false, limit = Infinity }: GetErrorsOptions,
  write: Write,
): Promise<GetErrorsResult> {
  let written = 0;
  for await (const page of errorLog.pages()) {
    const records = page.slice(0, limit - written);
    const text = records.map((record) => (json ? toJsonLine(record) : toBlock(record))).join('');
    if (!(await write(text))) return { written, cutShort: true };
    written += records.length;
    if (clear) await errorLog.clear(records);
    if (written >= limit) break;
  }
  return { written, cutShort: false };
}

/** One line and one object, whatever the record holds. */
function toJsonLine({ id, json }: StoredError): string {
  return `${printable(JSON.stringify(readRecord(json) ?? { id, unreadable: json }))}\n`;
}

function toBlock({ id, json }: StoredError): string {
  const record = readRecord(json);
  if (record === undefined) {
    return printable(`message ${inline(id)}: the record is not readable: ${inline(json)}`) + '\n\n';
  }
  const { error, attempts, failedAt, instance, message } = record;
  const tries = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
  const lines = [
    `message ${inline(id)}  failed ${inline(failedAt)}`,
    `  ${inline(error.name)}: ${indent(error.message)}`,
    `  ${tries}, the last on ${inline(instance)}`,
    `  data: ${JSON.stringify(message)}`,
  ];
  return printable(lines.join('\n')) + '\n\n';
}

/** Lines after the first moved in, so that text of an error can not pass for a line of ours. */
function indent(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll('\n', '\n    ');
}

/** On one line, where text of ours goes on after it. */
function inline(text: string): string {
  return text.replaceAll('\n', '\\n');
}

/** Undefined for what is no error record: anybody can write into Redis. */
export function readRecord(json: string): ErrorRecord | undefined {
  let value: Partial<ErrorRecord> | null;
  try {
    value = JSON.parse(json) as Partial<ErrorRecord> | null;
  } catch {
    return undefined;
  }
  const { id, failedAt, instance, attempts, error } = value ?? {};
  const texts: unknown[] = [id, failedAt, instance, error?.name, error?.message, error?.stack];
  const fits = typeof attempts === 'number' && texts.every((text) => typeof text === 'string');
  return fits ? (value as ErrorRecord) : undefined;
}
