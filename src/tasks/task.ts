import type { Logger } from '../logging/logger';

/**
 * What the generator yields: messages for the queue, and the cursor to resume from after them. Both are JSON values,
 * and are committed together or not at all.
 */
export interface Batch<Message = unknown, Cursor = unknown> {
  /** In order. An empty list only moves the cursor. */
  readonly messages: readonly Message[];
  readonly cursor: Cursor;
}

export interface GenerateContext<Cursor = unknown> {
  /** The last cursor that any generator of this source committed; undefined if there is none yet. */
  readonly cursor: Cursor | undefined;
  /** The source to generate from; undefined if sources are not named (SOURCES, `sources`). */
  readonly source: string | undefined;
  /** Aborts when this instance stops being the generator. Anything yielded after that is not committed. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

export interface HandleContext {
  /** The message's id, the same in every attempt: BullMQ's job id. */
  readonly id: string;
  /**
   * A fencing token: 1 the first time that the message is passed to a handler, and higher each time after that, even if
   * a process died while handling it, and after `retryErrors`. A handler is stale if it finds a higher attempt of the
   * same message recorded.
   */
  readonly attempt: number;
  /** Aborts when this handler loses the message: its lock was lost, or shutdown timed out. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** What an application supplies: where messages come from, and how each is handled. */
export interface Task<Message = unknown, Cursor = unknown> {
  /**
   * Runs only on the generator. If it returns, there is nothing more to generate; if it throws, leadership is given up,
   * so that another instance can try. A task without it only handles messages: its instances never generate.
   */
  generate?(context: GenerateContext<Cursor>): AsyncIterable<Batch<Message, Cursor>>;
  /** Handles one message, on any instance. Throwing or rejecting fails the message; the result is discarded. */
  handle(message: Message, context: HandleContext): unknown;
  /**
   * The sources, each with its own generator, cursor and term, or a function that returns them. Read once, at start;
   * SOURCES takes precedence. Names have 1 to 64 characters of `A-Z a-z 0-9 _ -`; at most 256 names. Default: one
   * source without a name.
   */
  readonly sources?: readonly string[] | (() => readonly string[] | Promise<readonly string[]>) | undefined;
  /**
   * Whether `generate` can run ahead of the commits: while one commit is pending, the batches that it yields next are
   * gathered and committed as one, with the last cursor (at most COMMIT_MAX_MESSAGES messages, default 1000). Yielding
   * one message at a time is then several times as fast.
   *
   * Default false: when `generate` resumes after a `yield`, that batch has been committed. A task that relies on this,
   * for example one that deletes the rows it has yielded, must not set it.
   */
  readonly groupCommits?: boolean | undefined;
}

/** A task that generates as well as handles. */
export type GeneratingTask<Message = unknown, Cursor = unknown> = Task<Message, Cursor> &
  Required<Pick<Task<Message, Cursor>, 'generate'>>;

export function generates<Message, Cursor>(
  task: Task<Message, Cursor>,
): task is GeneratingTask<Message, Cursor> {
  return task.generate !== undefined;
}
