import { bounded, describe, type ErrorDetails, MAX_MESSAGE } from './details';
import { JOB_NAME } from '../keys';

export type { ErrorDetails };

/** What is stored about a failed message: the value of one field of the errors hash. Its shape is public. */
export interface ErrorRecord {
  readonly id: string;
  /** The message's data. */
  readonly message: unknown;
  readonly error: ErrorDetails;
  /** Attempts that ended in a failure. */
  readonly attempts: number;
  /** ISO 8601. */
  readonly failedAt: string;
  /** The instance that handled it last. */
  readonly instance: string;
  /** The named source that generated the message. */
  readonly source?: string;
}

/**
 * A field of the job's hash in addition to BullMQ's own, which keep only a message and a stack. It holds what
 * errorDetails returns, and is written together with BullMQ's failedReason.
 */
export const ERROR_FIELD = 'error';

/** The fields of a job's hash from which its error record is built, in the order of FailedJob's properties. */
export const RECORD_FIELDS = [
  'name',
  'data',
  'failedReason',
  'stacktrace',
  'atm',
  'finishedOn',
  'pb',
  ERROR_FIELD,
] as const;

type Field = (typeof RECORD_FIELDS)[number];
/** A job as Redis returns it. */
export type FailedJob = Readonly<Record<Field, string | null>>;

/** Deeper causes of a stored record are dropped: data in Redis is untrusted. */
const MAX_PARSED_DEPTH = 20;

const described = new WeakMap<Error, ErrorDetails>();

/**
 * Returns the error in a form that BullMQ can store. BullMQ keeps a message and a stack but no name, so the name is put
 * at the head of the stack. An error without a message gets one. The copy is a plain Error, because BullMQ treats some
 * names (such as DelayedError) and one message as instructions, and a message that failed with one of them would never
 * finish. Its causes are copies as well, which are safe to log. Never throws, whatever was thrown.
 */
export function storableError(thrown: unknown): Error {
  if (described.has(thrown as Error)) return thrown as Error;
  const details = describe(thrown);
  const message = details.message === 'bullmq:rateLimitExceeded' ? `"${details.message}"` : details.message;
  const copy = toPlainError({ ...details, message });
  copy.stack = withHead(details, message);
  described.set(copy, { ...details, message, stack: copy.stack });
  return copy;
}

/** Returns the details of a storable error, including its name, causes and code. */
export function detailsOf(error: Error): ErrorDetails {
  return described.get(error) ?? describe(error);
}

/** Gives a copy of a storable error the same details. */
export function withDetailsOf(error: Error, copy: Error): Error {
  described.set(copy, detailsOf(error));
  return copy;
}

/**
 * Returns JSON for ERROR_FIELD: name, message, stack, code, cause and errors, bounded in depth and size. Never throws.
 */
export function errorDetails(thrown: unknown): string {
  const details = described.get(storableError(thrown))!;
  // BullMQ stores message and stack too; here they identify the failure to which the causes belong.
  return JSON.stringify({
    ...details,
    message: bounded(details.message, MAX_MESSAGE),
    stack: bounded(details.stack, MAX_MESSAGE),
  });
}

/** Builds the error record of a job that finished with a failure. */
export function errorRecordOf(id: string, job: FailedJob): ErrorRecord {
  const stack = lastStack(job.stacktrace);
  // Empty if another program wrote it: BullMQ stores the error's message unchanged.
  const stored = parseDetails(parseJson(job[ERROR_FIELD]));
  const name = nameIn(stack, job.failedReason ?? '');
  const message = job.failedReason || headOf(stack) || name;
  const belongs = stored !== undefined && stored.message === bounded(message, MAX_MESSAGE);
  const { code, cause, errors } = belongs ? stored : ({} as Partial<ErrorDetails>);
  return {
    id,
    message: parseJson(job.data) ?? null,
    error: {
      name,
      message,
      stack,
      ...(code !== undefined && { code }),
      ...(cause !== undefined && { cause }),
      ...(errors !== undefined && { errors }),
    },
    attempts: Number(job.atm) || 0,
    failedAt: isoTime(Number(job.finishedOn)),
    instance: job.pb ?? '',
    ...(job.name !== null && job.name !== '' && job.name !== JOB_NAME && { source: job.name }),
  };
}

/** Returns undefined for an invalid record; data in Redis is untrusted. */
export function parseErrorRecord(json: string): ErrorRecord | undefined {
  const value = asObject(parseJson(json));
  if (value === undefined) return undefined;
  const { id, failedAt, instance, attempts, message, source } = value;
  const error = parseDetails(value['error']);
  if (typeof id !== 'string' || typeof failedAt !== 'string' || typeof instance !== 'string')
    return undefined;
  if (typeof attempts !== 'number' || error === undefined) return undefined;
  return { id, message, error, attempts, failedAt, instance, ...(typeof source === 'string' && { source }) };
}

function parseDetails(value: unknown, depth = 0): ErrorDetails | undefined {
  const { name, message, stack, code, cause, errors } = asObject(value) ?? {};
  if (typeof name !== 'string' || typeof message !== 'string' || typeof stack !== 'string') return undefined;
  const parseNested = (nested: unknown) =>
    depth < MAX_PARSED_DEPTH ? parseDetails(nested, depth + 1) : undefined;
  const parsedCause = parseNested(cause);
  const parsedErrors = Array.isArray(errors) ? errors.flatMap((each) => parseNested(each) ?? []) : [];
  return {
    name,
    message,
    stack,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(parsedCause !== undefined && { cause: parsedCause }),
    ...(parsedErrors.length > 0 && { errors: parsedErrors }),
  };
}

function parseJson(json: string | null): unknown {
  if (json === null) return undefined;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}

/** Returns the last of the stacks that BullMQ keeps. */
function lastStack(stacktrace: string | null): string {
  const stacks = parseJson(stacktrace);
  const last: unknown = Array.isArray(stacks) ? stacks.at(-1) : undefined;
  return typeof last === 'string' ? last : '';
}

function toPlainError({ message, stack, code, cause, errors }: ErrorDetails): Error {
  const error = new Error(message, cause && { cause: withName(cause) });
  error.stack = stack;
  return Object.assign(error, {
    ...(code !== undefined && { code }),
    ...(errors !== undefined && { errors: errors.map(withName) }),
  });
}

function withName(details: ErrorDetails): Error {
  return Object.assign(toPlainError(details), { name: details.name });
}

/**
 * The usual head of a stack is "Name: message". An error that was renamed after its creation does not carry its new
 * name. The frames are searched for after the message, which can have lines that look like frames.
 */
function withHead({ name, message, stack }: ErrorDetails, text: string): string {
  const end = stack.indexOf(message);
  const tail = end === -1 ? stack : stack.slice(end + message.length);
  const frames = tail.search(/^[ \t]+at /m);
  return `${name}: ${text}${frames === -1 ? '' : `\n${tail.slice(frames)}`}`;
}

/** Returns what precedes the message at the head of a stack. */
function nameIn(stack: string, message: string): string {
  const end = message === '' ? -1 : stack.indexOf(`: ${message}`);
  const head = end === -1 ? /^[\p{L}_$][\p{L}\p{N}_$.-]*(?=:|\n|$)/u.exec(stack)?.[0] : stack.slice(0, end);
  return head === undefined || head === '' || head.includes('\n') ? 'Error' : head;
}

/** Returns the time as ISO 8601; 1970 for an invalid time. */
function isoTime(ms: number): string {
  const date = new Date(ms);
  return (Number.isNaN(date.getTime()) ? new Date(0) : date).toISOString();
}

/** Returns what follows the name on the first line of a stack. */
function headOf(stack: string): string {
  return /^[^\n:]*: (.+)/.exec(stack)?.[1] ?? '';
}
