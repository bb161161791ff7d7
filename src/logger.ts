import { inspect } from 'node:util';
import { createLogger as createWinston, format, transports } from 'winston';
import { type Paint, paintFor, type Style } from './terminal/colors';
import type { Config } from './config';
import { redact } from './redis/address';
import { printable } from './terminal/printable';

/**
 * What the program's parts and tasks log through. Spelled out here rather than taken over from the library behind it,
 * whose types would become a part of every program that uses ours.
 */
export interface Logger {
  error(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  debug(message: string, fields?: object): void;
  /** The same logger, with these fields on each of its lines. */
  child(fields: object): Logger;
}

/**
 * The root logger. All lines go to stderr: stdout is for data. Fields are fields, not prose; parts log through
 * children that carry `instance`, and `term` while leading.
 */
export function createLogger({
  logLevel,
  logFormat,
  colors,
}: Pick<Config, 'logLevel' | 'logFormat' | 'colors'>): Logger {
  const paint = paintFor(process.stderr, { colors });
  const pretty = (logFormat ?? (process.stderr.isTTY ? 'pretty' : 'json')) === 'pretty';
  const logger = createWinston({
    level: logLevel,
    format: format.combine(
      format.timestamp(),
      describeErrors(),
      ...(pretty ? [format.printf((info) => prettyLine(info, paint))] : [format.json(), escapeControls()]),
    ),
    transports: [new transports.Stream({ stream: process.stderr })],
  });
  // winston gives a line its whole form before it looks whether anybody wants it.
  for (const level of LEVELS.slice(LEVELS.indexOf(logLevel) + 1)) logger[level] = () => logger;
  return logger;
}

const LEVELS = ['error', 'warn', 'info', 'debug'] as const;

/** Errors among the fields become their message, with no password in it. */
const describeErrors = format((info) => {
  for (const [field, value] of Object.entries(info)) {
    if (value instanceof Error) info[field] = redact(value.message);
  }
  return info;
});

/** Where winston keeps the finished line. */
const LINE = Symbol.for('message');

/** JSON leaves some of them raw, and ends up on a terminal as well. */
const escapeControls = format((info) => {
  info[LINE] = printable(String(info[LINE]));
  return info;
});

const LEVEL_STYLES: Readonly<Record<string, Style | undefined>> = {
  error: 'red',
  warn: 'yellow',
  info: 'green',
  debug: 'dim',
};

function prettyLine(
  { timestamp, level, message, instance: _instance, ...fields }: Record<string, unknown>,
  paint: Paint,
): string {
  const time = new Date(String(timestamp)).toTimeString().slice(0, 8);
  const tail = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}=${typeof value === 'string' ? quoted(value) : shown(value)}`)
    .join(' ');
  const name = paint(LEVEL_STYLES[String(level)] ?? 'bold', String(level).padEnd(5));
  const line = `${paint('dim', time)} ${name} ${printable(String(message))}`;
  return tail === '' ? line : `${line}  ${paint('dim', printable(tail))}`;
}

const quoted = (value: string) => (/^[\w.:/@{}+-]+$/.test(value) ? value : JSON.stringify(value));

/** What a task logs may be anything: a line of a log is no reason to fail a message. */
function shown(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return inspect(value, { breakLength: Infinity });
  }
}
