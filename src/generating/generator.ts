import type { Logger } from '../logger';
import type { Batch, GeneratingTask } from '../tasks/task';
import { sleep, untilAborted } from '../time';
import type { Committer, EncodedBatch } from './committer';
import type { Position } from './position';

export interface GeneratorOptions {
  readonly task: Pick<GeneratingTask, 'generate'>;
  /** The source to generate from; undefined if sources are not named. */
  readonly source?: string | undefined;
  readonly committer: Pick<Committer, 'position' | 'commit'>;
  /** The term: generating ends when it aborts. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Pause before looking again whether the backlog has shrunk, in milliseconds. */
const BACKLOG_PAUSE_MS = 100;
/** Longest wait for a task's generator to clean up after itself, in milliseconds. */
const CLEAN_UP_MS = 500;

/**
 * Runs the task's `generate` for one term and commits what it yields, from the cursor committed last. Ends when there
 * is nothing more to generate or the term is over; rejects when the task throws, or with a DeposedError.
 */
export async function generateMessages(options: GeneratorOptions): Promise<void> {
  const { committer, signal, logger } = options;
  let outcome: 'done' | 'diverged';
  do {
    const position = await committer.position();
    logger.info('generating', { generated: position.generated, cursor: position.cursorJson });
    outcome = await generateFrom(position, options);
    // Going on would leave out what Redis has lost.
    if (outcome === 'diverged')
      logger.warn('Redis has lost commits: generating again from the cursor it kept');
  } while (outcome === 'diverged' && !signal.aborted);
}

async function generateFrom(start: Position, options: GeneratorOptions): Promise<'done' | 'diverged'> {
  const { task, source, committer, signal, logger } = options;
  const cursor: unknown = start.cursorJson === undefined ? undefined : JSON.parse(start.cursorJson);
  // An async function that gives the iterable is as good.
  const iterable: unknown = await (task.generate({ cursor, source, signal, logger }) as unknown);
  const batches = iterate(iterable);
  let position = start;
  try {
    for (;;) {
      const next = await untilAborted(Promise.resolve(batches.next()), signal);
      if (next === undefined) return 'done';
      if (next.done === true) {
        logger.info('nothing more to generate', { generated: position.generated });
        return 'done';
      }
      const batch = encodeBatch(next.value);
      let result = await committer.commit(position, batch);
      if (result.outcome === 'full')
        logger.info('as many messages wait as may (MAX_BACKLOG): generating pauses');
      while (result.outcome === 'full') {
        await sleep(BACKLOG_PAUSE_MS, signal);
        if (signal.aborted) return 'done';
        result = await committer.commit(position, batch);
      }
      if (result.outcome === 'diverged') return 'diverged';
      position = result.position;
      logger.debug('committed', { messages: batch.messages.length, generated: position.generated });
    }
  } finally {
    const cleaned = new AbortController();
    const returned = Promise.resolve(batches.return?.()).catch(() => undefined);
    void returned.then(() => cleaned.abort());
    await sleep(CLEAN_UP_MS, cleaned.signal);
  }
}

function iterate(iterable: unknown): AsyncIterator<unknown> {
  const candidate = iterable as Partial<AsyncIterable<unknown>> | null | undefined;
  const iterator = candidate?.[Symbol.asyncIterator]?.();
  if (iterator !== undefined) return iterator;
  throw new TypeError(`generate returned ${describe(iterable)}, expected an async iterable of batches`);
}

/** @throws TypeError saying what was found and what was expected. */
function encodeBatch(value: unknown): EncodedBatch {
  const { messages, cursor } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Batch>;
  if (!Array.isArray(messages)) {
    throw new TypeError(`generate yielded ${describe(value)}, expected { messages: [...], cursor }`);
  }
  messages.forEach((message, index) => {
    if (!isJson(message)) throw notJson(`message ${index} of a batch`, message);
  });
  if (!isJson(cursor)) throw notJson('the cursor of a batch', cursor);
  return { messages, cursorJson: JSON.stringify(cursor) };
}

/** Whether JSON has a form for it at all: undefined, functions and symbols have none. */
function isJson(value: unknown): boolean {
  return JSON.stringify(value) !== undefined;
}

function notJson(what: string, value: unknown): TypeError {
  return new TypeError(`${what} is ${describe(value)}, expected a JSON value`);
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return `an object with ${Object.keys(value).join(', ') || 'nothing in it'}`;
  return `a value of type ${typeof value}`;
}
