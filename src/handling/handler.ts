import { UnrecoverableError } from 'bullmq';
import type { Config } from '../configuration/config';
import { withDetailsOf } from '../errorLog/record';
import { inFull, type Logger } from '../logging/logger';
import type { Task } from '../tasks/task';
import type { ActiveMessage } from './activeMessage';

export interface HandlerOptions {
  readonly task: Pick<Task, 'handle'>;
  readonly config: Pick<Config, 'handleTimeoutMs'>;
  readonly logger: Logger;
}

/** Runs the task's handler. Rejects with what it throws, or with a HandleTimeoutError if it takes too long. */
export async function runHandler(
  data: unknown,
  message: ActiveMessage,
  { task, config, logger }: HandlerOptions,
): Promise<void> {
  if (config.handleTimeoutMs === undefined) {
    await task.handle(data, message.context);
    return;
  }
  const { id, attempt } = message;
  const handler = (async () => await task.handle(data, message.context))();
  await withHandleTimeout(handler, config.handleTimeoutMs, (timeout) => {
    message.abort(timeout.message);
    const ignore = (fields: object) =>
      logger.debug('ignored the outcome of a handler that had timed out', { id, attempt, ...fields });
    handler.then(
      () => ignore({}),
      (thrown: unknown) => ignore({ error: inFull(thrown) }),
    );
  });
}

/** The handler of a message did not finish in time. */
export class HandleTimeoutError extends Error {
  override name = 'HandleTimeoutError';

  constructor(timeoutMs: number) {
    super(`the handler did not finish within ${timeoutMs} ms (HANDLE_TIMEOUT_MS)`);
  }
}

/** Settles as the handler does, or rejects with a HandleTimeoutError. The handler itself is not stopped. */
function withHandleTimeout(
  handler: Promise<unknown>,
  timeoutMs: number,
  onTimeout: (error: HandleTimeoutError) => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const error = new HandleTimeoutError(timeoutMs);
      onTimeout(error);
      reject(error);
    }, timeoutMs);
    void handler.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Whether a failure makes further attempts pointless: `retryable: false`, or BullMQ's UnrecoverableError. */
export function isPermanent(thrown: unknown): boolean {
  try {
    if (thrown instanceof UnrecoverableError) return true;
    // Check the name too: the error might come from another copy of BullMQ, or from another realm.
    const { retryable, name } = Object(thrown) as { retryable?: unknown; name?: unknown };
    return retryable === false || name === 'UnrecoverableError';
  } catch {
    // A getter threw: treat it as an ordinary failure.
    return false;
  }
}

/** Returns an error that BullMQ does not retry, with the message, stack and details of a storable one. */
export function permanent(error: Error): Error {
  const copy = new UnrecoverableError(error.message);
  copy.name = error.name;
  if (error.stack !== undefined) copy.stack = error.stack;
  return withDetailsOf(error, copy);
}
