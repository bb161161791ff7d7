import type { Logger } from '../logger';

/**
 * What the generator yields: messages for the queue, and the cursor to go on from after them. Both are JSON values,
 * and are committed together or not at all.
 */
export interface Batch<Message = unknown, Cursor = unknown> {
  /** In order. May be empty, to move the cursor alone. */
  readonly messages: readonly Message[];
  readonly cursor: Cursor;
}

export interface GenerateContext<Cursor = unknown> {
  /** The cursor committed last, by whichever generator; undefined if none ever was. */
  readonly cursor: Cursor | undefined;
  /** The source to generate from; undefined for a task without named sources. */
  readonly source?: string | undefined;
  /** Aborts when this instance no longer is the generator. What is yielded after that is not committed. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

export interface HandleContext {
  /** The message's id, the same in every attempt: BullMQ's job id. */
  readonly id: string;
  /** 1 the first time the message is handled. Counts every start, also one that ended with its process. */
  readonly attempt: number;
  /** Aborts when the message is no longer this handler's to finish: its lock was lost, or shutdown ran out of time. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** What an application supplies: how messages come about, and what is done with each. */
export interface Task<Message = unknown, Cursor = unknown> {
  /**
   * Runs on the generator alone. Returning means that there is nothing more to generate; throwing gives leadership
   * up, so that another instance may try.
   */
  generate(context: GenerateContext<Cursor>): AsyncIterable<Batch<Message, Cursor>>;
  /** Handles one message, on any instance. Throwing or rejecting fails the message; what it gives is not kept. */
  handle(message: Message, context: HandleContext): unknown;
  /**
   * Whether `generate` may run ahead of the commits: while one is under way, the batches that it yields next are gathered and
   * committed as one, with the last cursor (at most COMMIT_MAX_MESSAGES messages, default 1000). Yielding one message at a
   * time is then several times as fast.
   *
   * Default false: when `generate` resumes after a `yield`, that batch has been committed. A task that relies on this, for
   * example one that deletes the rows it has yielded, must not set it.
   */
  readonly groupCommits?: boolean | undefined;
}
