import type { Job } from 'bullmq';
import { toError } from '../errors';

/** What is kept of a failed message: the value of one field of the errors hash. Its shape is a promise. */
export interface ErrorRecord {
  readonly id: string;
  /** The message's data. */
  readonly message: unknown;
  readonly error: { readonly name: string; readonly message: string; readonly stack: string };
  /** Tries that ended in a failure. */
  readonly attempts: number;
  /** ISO 8601. */
  readonly failedAt: string;
  /** Who handled it last. */
  readonly instance: string;
}

export type FailedJob = Pick<
  Job,
  'id' | 'data' | 'failedReason' | 'stacktrace' | 'attemptsMade' | 'finishedOn' | 'processedBy'
>;

export function errorRecordOf(job: FailedJob): ErrorRecord {
  const stack = job.stacktrace?.at(-1) ?? '';
  const message = job.failedReason ?? '';
  return {
    id: job.id ?? '',
    message: job.data as unknown,
    error: { name: nameIn(stack, message), message, stack },
    attempts: job.attemptsMade,
    failedAt: new Date(job.finishedOn ?? 0).toISOString(),
    instance: job.processedBy ?? '',
  };
}

/** A field of the job's hash beside BullMQ's own, which keep only a message and a stack: see errorDetails. */
export const ERROR_FIELD = 'error';

/** JSON of the error for ERROR_FIELD. */
export function errorDetails(thrown: unknown): string {
  const { message, stack } = storableError(thrown);
  return JSON.stringify({ name: nameIn(stack ?? '', message), message, stack });
}

/**
 * The error as it is handed to BullMQ, which stores a message and a stack but no name: the name goes to the head of
 * the stack. The copy is a plain Error, since BullMQ takes some names (DelayedError and its like) and one message for
 * orders of its own, and a message that failed with such a one would never be done.
 */
export function storableError(thrown: unknown): Error {
  const error = toError(thrown);
  const [text, stack] = [String(error.message ?? ''), String(error.stack ?? '')];
  const message = text === 'bullmq:rateLimitExceeded' ? `"${text}"` : text;
  const copy = new Error(message, { cause: error });
  // The usual head is "Name: message"; an error that was renamed after it was made does not carry its name. The frames
  // are looked for behind the message, which may have lines that look like them.
  const end = stack.indexOf(text);
  const tail = end === -1 ? stack : stack.slice(end + text.length);
  const frames = tail.search(/^[ \t]+at /m);
  copy.stack = `${error.name}${message === '' ? '' : `: ${message}`}${frames === -1 ? '' : `\n${tail.slice(frames)}`}`;
  return copy;
}

/** What stands before the message at the head of a stack. */
function nameIn(stack: string, message: string): string {
  const end = message === '' ? -1 : stack.indexOf(`: ${message}`);
  const head = end === -1 ? /^[\p{L}_$][\p{L}\p{N}_$.-]*(?=:|\n|$)/u.exec(stack)?.[0] : stack.slice(0, end);
  return head === undefined || head === '' || head.includes('\n') ? 'Error' : head;
}
