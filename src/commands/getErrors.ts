import type { ErrorLog, StoredError } from '../messages/errorLog';
import type { ErrorRecord } from '../messages/errorRecord';
import { printable } from '../logger';

export interface GetErrorsOptions {
  readonly json: boolean;
  /** Removes each error once it has been written. */
  readonly clear: boolean;
  /** At most so many. Default: all. */
  readonly limit?: number;
}

/** Where output goes. Resolves to false once nobody reads it any more. */
export type Write = (text: string) => Promise<boolean>;

/** Writes the recorded errors, the oldest first, and gives how many. */
export async function getErrors(
  errorLog: Pick<ErrorLog, 'pages' | 'clear'>,
  { json, clear, limit = Infinity }: GetErrorsOptions,
  write: Write,
): Promise<number> {
  let written = 0;
  for await (const page of errorLog.pages()) {
    const records = page.slice(0, limit - written);
    const text = records.map((record) => (json ? toJsonLine(record) : toBlock(record))).join('');
    if (!(await write(text))) return written;
    written += records.length;
    if (clear) await errorLog.clear(records);
    if (written >= limit) break;
  }
  return written;
}

/** One line, whatever the record holds. */
function toJsonLine({ id, json }: StoredError): string {
  return `${JSON.stringify(parse(json) ?? { id, unreadable: json })}\n`;
}

function toBlock({ id, json }: StoredError): string {
  const record = parse(json);
  if (record === undefined) return printable(`message ${id}: the record is not readable: ${json}`) + '\n\n';
  const { error, attempts, failedAt, instance, message } = record;
  const title = `message ${record.id ?? id}  failed ${failedAt}`;
  const tries = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
  const lines = [
    title,
    `  ${error?.name ?? 'Error'}: ${indent(error?.message ?? '')}`,
    `  ${tries}, the last on ${instance}`,
    `  data: ${JSON.stringify(message)}`,
  ];
  return printable(lines.join('\n')) + '\n\n';
}

/** Lines after the first moved in, so that text of an error can not pass for a line of ours. */
function indent(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll('\n', '\n    ');
}

function parse(json: string): Partial<ErrorRecord> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
