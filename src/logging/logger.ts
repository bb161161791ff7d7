import { describe, type ErrorDetails } from '../errorLog/details';
import { redact } from '../redis/address';

/**
 * The logger of the program's parts and of tasks. The type is declared here rather than taken from the logging library,
 * whose types would become part of every program that uses this one.
 */
export interface Logger {
  error(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  debug(message: string, fields?: object): void;
  /** Returns the same logger with these fields on each line. */
  child(fields: object): Logger;
}

/**
 * The logger of the program that embeds an instance. What it returns or throws is ignored. The fields are plain data:
 * an error becomes its message, and if a task threw it, its other details are in the fields `stack`, `code`, `cause`
 * and `errors`.
 */
export interface HostLogger {
  error(message: string, fields: object): unknown;
  warn(message: string, fields: object): unknown;
  info(message: string, fields: object): unknown;
  debug(message: string, fields: object): unknown;
}

export const LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type Level = (typeof LEVELS)[number];

/**
 * Writes one line; it can throw. `bound` holds the fields of the child logger, `thrown` the error that is shown in
 * full. Neither contains errors, or a password in the text of one.
 */
export type WriteLine = (level: Level, message: string, line: Line) => unknown;

export interface Line {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly bound: object;
  readonly thrown: ErrorDetails | undefined;
}

/**
 * Creates a logger whose lines `write` receives. Logging never throws and never rejects: a message must not fail
 * because a log line cannot be written.
 *
 * @param levels the levels that are written
 */
export function createLogger(write: WriteLine, levels: readonly Level[] = LEVELS): Logger {
  const childOf = (bound: object, everyErrorInFull: boolean): Logger => {
    const at = (level: Level) => {
      if (!levels.includes(level)) return () => undefined;
      return (message: unknown, fields?: unknown) => {
        try {
          const { text, ...line } = describeLine(message, fields, everyErrorInFull);
          const written = write(level, text, { ...line, bound });
          if (written instanceof Promise) written.catch(() => undefined);
        } catch {
          // The failure cannot be reported anywhere.
        }
      };
    };
    const logger = {
      ...{ error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') },
      child: (fields: object) => childOf({ ...bound, ...fields }, everyErrorInFull),
      [FOR_TASK]: (fields: object) => childOf({ ...bound, ...fields }, true),
    };
    return logger;
  };
  return childOf({}, false);
}

/** Creates a child that logs all errors in full. */
const FOR_TASK = Symbol('for a task');

/** Creates a logger that writes to the host's logger, which decides how to treat each level. */
export function hostLogger(host: HostLogger): Logger {
  return createLogger((level, message, line) => host[level](message, fieldsOf(line)));
}

/** Returns all fields of a line, including the details of an error other than its message. */
export function fieldsOf({ fields, bound, thrown }: Line): Record<string, unknown> {
  if (thrown === undefined) return { ...bound, ...fields };
  const { stack, code, cause, errors } = thrown;
  return {
    ...bound,
    ...(stack !== '' && { stack }),
    ...(code !== undefined && { code }),
    ...(cause !== undefined && { cause }),
    ...(errors !== undefined && { errors }),
    ...fields,
  };
}

/** Names of the methods that a logger lacks. */
export function missingMethods(logger: unknown): Level[] {
  return LEVELS.filter(
    (level) => typeof (logger as Partial<Record<Level, unknown>> | null)?.[level] !== 'function',
  );
}

/**
 * Marks, for a log field, an error that a task threw. The log shows its stack and causes as well as its message.
 *
 * @param details details of the error, if the caller knows more than the error shows
 */
export function inFull(error: unknown, details?: ErrorDetails): object {
  return new InFull(error, details);
}

/** Returns a child for a task, which logs all errors in full. */
export function taskLogger(logger: Logger & { [FOR_TASK]?: Logger['child'] }, fields: object = {}): Logger {
  return logger[FOR_TASK] === undefined ? logger.child(fields) : logger[FOR_TASK](fields);
}

class InFull {
  constructor(
    readonly error: unknown,
    readonly details?: ErrorDetails,
  ) {}
}

/** Maximum length of the message and of the stack of an error, in characters. */
const MAX_CHARS = 8000;

/** A task can log anything: an error in place of the text or the fields, and fields that are not an object. */
function describeLine(message: unknown, given: unknown, everyErrorInFull: boolean) {
  const fields: Record<string, unknown> = {};
  let thrown: ErrorDetails | undefined;
  const values = { ...(message instanceof Error && { error: message }), ...objectOf(given) };
  for (const [name, value] of Object.entries(values)) {
    const { error, details: known } = value instanceof InFull ? value : { error: value as unknown };
    if (value instanceof InFull || (everyErrorInFull && error instanceof Error)) {
      const details = redacted(known ?? describe(error));
      thrown ??= details;
      fields[name] = details.message;
    } else {
      fields[name] = error instanceof Error ? redact(error.message) : error;
    }
  }
  return { text: message instanceof Error ? redact(message.message) : String(message), fields, thrown };
}

function objectOf(fields: unknown): object {
  if (fields instanceof Error || fields instanceof InFull) return { error: fields };
  return typeof fields === 'object' && fields !== null ? fields : {};
}

/** Returns the error without passwords in its texts. */
function redacted({ message, stack, cause, errors, ...rest }: ErrorDetails): ErrorDetails {
  return {
    ...rest,
    ...{ message: redact(message.slice(0, MAX_CHARS)), stack: redact(stack.slice(0, MAX_CHARS)) },
    ...(cause !== undefined && { cause: redacted(cause) }),
    ...(errors !== undefined && { errors: errors.map(redacted) }),
  };
}
