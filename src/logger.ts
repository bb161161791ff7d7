import { createLogger as createWinston, format, type Logger, transports } from 'winston';
import type { Config } from './config';
import { redact } from './redisUrl';

export type { Logger } from 'winston';

/**
 * The root logger. All lines go to stderr: stdout is for data. Fields are fields, not prose; parts log through
 * children that carry `instance`, and `term` while leading.
 */
export function createLogger({ logLevel, logFormat }: Pick<Config, 'logLevel' | 'logFormat'>): Logger {
  const pretty = (logFormat ?? (process.stderr.isTTY ? 'pretty' : 'json')) === 'pretty';
  return createWinston({
    level: logLevel,
    format: format.combine(
      format.timestamp(),
      describeErrors(),
      pretty ? format.printf(prettyLine) : format.json(),
    ),
    transports: [new transports.Stream({ stream: process.stderr })],
  });
}

/** Errors among the fields become their message (and their stack at debug), with no password in them. */
const describeErrors = format((info) => {
  for (const [field, value] of Object.entries(info)) {
    if (value instanceof Error) info[field] = redact(value.message);
  }
  return info;
});

function prettyLine({
  timestamp,
  level,
  message,
  instance: _instance,
  ...fields
}: Record<string, unknown>): string {
  const time = new Date(String(timestamp)).toTimeString().slice(0, 8);
  const tail = Object.entries(fields)
    .map(([field, value]) => `${field}=${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`)
    .join(' ');
  return printable(`${time} ${String(level).padEnd(5)} ${message}${tail === '' ? '' : `  ${tail}`}`);
}

const quoted = (value: string) => (/^[\w.:/@{}+-]+$/.test(value) ? value : JSON.stringify(value));

/** Control characters made visible, so that text from a message can not drive somebody's terminal. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
