/**
 * Tests of a task: runs it in this process, without Redis, as an instance would.
 *
 * @module testing
 */
import { toError } from './errors';
import type { Logger } from './logging/logger';
import { generateMessages } from './generating/generator';
import { checkTask } from './tasks/load';
import { type Batch, type GenerateContext, generates, type Task } from './tasks/task';

/** How {@link runTask} runs a task. */
export interface RunTaskOptions<Cursor = unknown, Message = unknown> {
  /** The last committed cursor. Default: none, as on the first run. */
  readonly cursor?: Cursor | undefined;
  /** The source to generate from. Default: unnamed. */
  readonly source?: string | undefined;
  /** Messages to handle instead of those from `generate`, which does not run. For a task that only handles. */
  readonly messages?: readonly Message[] | undefined;
  /** Commits this many batches, then tells `generate` to step down. Default: until `generate` returns. */
  readonly batches?: number | undefined;
  /** When it aborts, `generate` is told to step down and `handle` to give up, and no more messages are handled. */
  readonly signal?: AbortSignal | undefined;
  /** Like the setting ATTEMPTS, without a pause in between. Default 1. */
  readonly attempts?: number | undefined;
  /** Handles each handled message a second time, as if the instance had died before it could store the outcome. */
  readonly handleTwice?: boolean | undefined;
  /** Id of the first message; later ids count up from it. Default 1. */
  readonly firstId?: number | undefined;
  /** The logger of the task. Default: log lines are dropped. */
  readonly logger?: Logger | undefined;
}

/** The result of a run. */
export interface TaskRun<Message = unknown, Cursor = unknown> {
  /** The committed messages, as they return from JSON. */
  readonly batches: readonly Batch<Message, Cursor>[];
  /** The cursor from which the next generator would continue. */
  readonly cursor: Cursor | undefined;
  readonly handled: readonly HandledMessage<Message>[];
  readonly failed: readonly FailedMessage<Message>[];
}

/** A message that was eventually handled without an error. */
export interface HandledMessage<Message = unknown> {
  readonly id: string;
  readonly message: Message;
  /** Number of calls of `handle` for it. */
  readonly attempts: number;
}

/** A message that failed on every attempt. */
export interface FailedMessage<Message = unknown> extends HandledMessage<Message> {
  /** What `handle` threw on the last attempt. */
  readonly error: Error;
}

/**
 * Runs `generate`, and `handle` for each message, in sequence: a batch is handled before the next is requested, so that
 * every run is the same. Values that a commit would refuse are refused here as well, with the same error.
 *
 * @throws whatever `generate` throws, and a TypeError for an invalid batch or a value that is not JSON
 */
export async function runTask<Message, Cursor>(
  task: Task<Message, Cursor>,
  options: RunTaskOptions<Cursor, Message> = {},
): Promise<TaskRun<Message, Cursor>> {
  checkTask(task);
  const { cursor, logger = SILENT } = options;
  const most = wholeFromOne('batches', options.batches, Infinity);
  const attempts = wholeFromOne('attempts', options.attempts, 1);
  const firstId = wholeFromOne('firstId', options.firstId, 1);
  const batches: Batch<Message, Cursor>[] = [];
  const handled: HandledMessage<Message>[] = [];
  const failed: FailedMessage<Message>[] = [];
  const stopped = options.signal ?? new AbortController().signal;
  const enough = new AbortController();
  const signal = AbortSignal.any([stopped, enough.signal]);
  const cursorJson = cursor === undefined ? undefined : jsonOf(cursor, 'cursor');
  let position = { generated: 0, cursorJson };

  async function handle(message: string, id: string): Promise<void> {
    const context = { id, signal: stopped, logger: logger.child({ id }) };
    // Parsed for each attempt, so that a handler's changes to its message do not affect the next attempt.
    const parsed = () => JSON.parse(message) as Message;
    let attempt = 1;
    for (let succeeded = 0; ; attempt++) {
      try {
        await task.handle(parsed(), { ...context, attempt });
        if (++succeeded === (options.handleTwice ? 2 : 1)) break;
      } catch (thrown) {
        // An instance would requeue it.
        if (stopped.aborted) return;
        if (attempt - succeeded < attempts) continue;
        failed.push({ id, message: parsed(), attempts: attempt, error: toError(thrown) });
        return;
      }
    }
    handled.push({ id, message: parsed(), attempts: attempt });
  }

  const { messages } = options;
  if (messages !== undefined) {
    for (const [index, message] of messages.entries()) {
      if (stopped.aborted) break;
      await handle(jsonOf(message, `message ${index}`), String(firstId + index));
    }
    return { batches, cursor, handled, failed };
  }
  if (!generates(task)) throw new TypeError('the task only handles, expected the option messages');

  await generateMessages({
    task: { generate: (context) => task.generate({ ...context, logger } as GenerateContext<Cursor>) },
    source: options.source,
    committer: {
      position: () => Promise.resolve(position),
      async commit({ generated }, { messages, cursorJson }) {
        batches.push({
          messages: messages.map((message) => JSON.parse(message) as Message),
          cursor: JSON.parse(cursorJson) as Cursor,
        });
        position = { generated: generated + messages.length, cursorJson };
        if (batches.length >= most) enough.abort();
        for (const [index, message] of messages.entries()) {
          if (stopped.aborted) break;
          await handle(message, String(firstId + generated + index));
        }
        return { outcome: 'committed', position };
      },
    },
    signal,
    // Log lines of an instance about its own work are not the task's.
    logger: SILENT,
  });

  const end = position.cursorJson;
  return { batches, cursor: end === undefined ? undefined : (JSON.parse(end) as Cursor), handled, failed };
}

const SILENT: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => SILENT,
};

function jsonOf(value: unknown, name: string): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json !== undefined) return json;
  throw new TypeError(`${name} is a value of type ${typeof value}, expected a JSON value`);
}

function wholeFromOne(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (Number.isInteger(value) && value >= 1) return value;
  throw new RangeError(`${name} is ${value}, expected a whole number from 1`);
}
