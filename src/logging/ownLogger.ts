import { inspect } from 'node:util';
import { createLogger as createWinston, format, transports } from 'winston';
import { createLogger, fieldsOf, type Level, LEVELS, type Line, type Logger } from './logger';
import type { Config } from '../configuration/config';
import type { ErrorDetails } from '../errorLog/details';
import { type Paint, paintFor, type Style } from '../terminal/colors';
import { errorLines } from '../terminal/errorLines';
import { printable } from '../terminal/printable';

/**
 * Creates the logger of a program that does not supply one. All lines go to stderr: stdout is for data. Parts log
 * through child loggers that carry `namespace`, `instance`, and `term` while leading.
 */
export function createOwnLogger({
  logLevel,
  logFormat,
  colors,
}: Pick<Config, 'logLevel' | 'logFormat' | 'colors'>): Logger {
  const paint = paintFor(process.stderr, { colors });
  const pretty = (logFormat ?? (process.stderr.isTTY ? 'pretty' : 'json')) === 'pretty';
  const winston = createWinston({
    level: logLevel,
    format: pretty
      ? format.printf(({ message }) => String(message))
      : format.combine(format.timestamp(), format.json(), escapeControls()),
    transports: [new transports.Stream({ stream: process.stderr })],
  });
  return createLogger(
    (level, message, line) => {
      if (pretty) winston.log({ level, message: prettyLine(level, message, line, paint) });
      else winston.log({ ...fieldsOf(line), level, message });
    },
    LEVELS.slice(0, LEVELS.indexOf(logLevel) + 1),
  );
}

/** The property in which winston keeps the finished line. */
const LINE = Symbol.for('message');

/** JSON does not escape all control characters, and JSON lines can be shown on a terminal too. */
const escapeControls = format((info) => {
  info[LINE] = printable(String(info[LINE]));
  return info;
});

const LEVEL_STYLES: Readonly<Record<Level, Style>> = {
  error: 'red',
  warn: 'yellow',
  info: 'green',
  debug: 'dim',
};

/** On a terminal these are the same on every line. */
const NOT_SHOWN = new Set(['instance', 'namespace']);
/** Maximum number of lines of a stack with its causes, and their indentation. */
const MAX_STACK_LINES = 60;
const STACK_MARGIN = ' '.repeat(13);

function prettyLine(level: Level, message: string, { fields, bound, thrown }: Line, paint: Paint): string {
  const inherited = Object.entries(bound).filter(([field]) => !NOT_SHOWN.has(field));
  const tail = Object.entries({ ...Object.fromEntries(inherited), ...fields })
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}=${typeof value === 'string' ? quoted(value) : shown(value)}`)
    .join(' ');
  const time = new Date().toTimeString().slice(0, 8);
  const line = `${paint('dim', time)} ${paint(LEVEL_STYLES[level], level.padEnd(5))} ${printable(message)}`;
  const head = tail === '' ? line : `${line}  ${paint('dim', printable(tail))}`;
  return [head, ...stackLines(thrown).map((each) => paint('dim', each))].join('\n');
}

/** Returns the stack and causes of an error that was logged in full, to show below the line. */
function stackLines(thrown: ErrorDetails | undefined): string[] {
  if (thrown === undefined) return [];
  const lines = errorLines(thrown, true).join('\n').split('\n');
  const rest = lines.length - MAX_STACK_LINES;
  const kept = rest > 0 ? [...lines.slice(0, MAX_STACK_LINES), `  … and ${rest} more lines`] : lines;
  return kept.map((each) => `${STACK_MARGIN}${printable(each)}`);
}

const quoted = (value: string) => (/^[\w.:/@{}+-]+$/.test(value) ? value : JSON.stringify(value));

/** Converts any value that a task logs to text. */
function shown(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return inspect(value, { breakLength: Infinity });
  }
}
