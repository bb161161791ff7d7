import type { Logger } from '../logging/logger';
import type { GeneratingTask } from '../tasks/task';
import { sleep, untilAborted } from '../time';
import { batchLimits, type BatchLimits, describe, encodeBatch, type EncodedBatch } from './batch';
import type { Committer, CommitResult, PreparedPosition } from './committer';
import { type BatchSource, Gatherer } from './gather';
import { PauseState } from './pauseState';

export interface GeneratorOptions {
  readonly task: Pick<GeneratingTask, 'generate' | 'groupCommits'>;
  readonly committer: Pick<Committer, 'position' | 'commit'>;
  /** Name of the source; undefined without named sources. */
  readonly source?: string | undefined;
  /** Maximum size of a batch. Default: that of a lease of 5000 ms. */
  readonly limits?: BatchLimits;
  /** Maximum number of messages that a group commit gathers. Default 1000. */
  readonly commitMaxMessages?: number;
  /** Tracks whether generation is paused. Default: only commits detect a pause. */
  readonly pauses?: PauseState;
  /** The signal of the term: generation ends when it aborts. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Retry interval while committing is not possible, in milliseconds. */
const RETRY_INTERVAL_MS = { full: 100, paused: 250 };
/** Time that the task's generator has to clean up, in milliseconds. */
const CLEAN_UP_TIMEOUT_MS = 500;
/** Maximum JSON that a group commit gathers, in characters. */
const GATHERED_CHARS = 4_000_000;

/**
 * Runs the task's `generate` for one term and commits what it yields, starting from the last committed cursor. Resolves
 * when `generate` returns or the term is over; rejects with what the task throws, or with a DeposedError.
 */
export async function generateMessages(given: GeneratorOptions): Promise<void> {
  const { signal, logger } = given;
  const options = { ...given, pauses: given.pauses ?? new PauseState(logger) };
  let outcome: 'done' | 'diverged';
  do {
    const position = await positionWhenAllowed(options);
    if (position === undefined) return;
    logger.info('generating', { generated: position.generated, cursor: position.cursorJson });
    outcome = await generateFrom(position, options);
    // Continuing would skip the messages that Redis has lost.
    if (outcome === 'diverged')
      logger.warn('Redis has lost commits; generating again from the cursor that it kept');
  } while (outcome === 'diverged' && !signal.aborted);
}

type RunningOptions = GeneratorOptions & { readonly pauses: PauseState };

/**
 * Waits until generation is not paused, then reads the start position; during a pause `generate` is not called, because
 * an upstream might be under maintenance. Returns undefined if the term ends.
 */
async function positionWhenAllowed({
  committer,
  pauses,
  signal,
}: RunningOptions): Promise<PreparedPosition | undefined> {
  for (;;) {
    const { pause, ...position } = await committer.position();
    pauses.heard(pause);
    if (pause === undefined) return position;
    await pauses.wait(RETRY_INTERVAL_MS.paused, signal);
    if (signal.aborted) return undefined;
  }
}

async function generateFrom(start: PreparedPosition, options: RunningOptions): Promise<'done' | 'diverged'> {
  const { task, source, signal, logger, limits = batchLimits(5000), commitMaxMessages = 1000 } = options;
  const cursor: unknown = start.cursorJson === undefined ? undefined : JSON.parse(start.cursorJson);
  const context = { cursor, source, signal, logger };
  // An async function that returns the iterable is accepted as well.
  const iterable: unknown = await (task.generate(context) as unknown);
  const iterator = iterate(iterable);
  const ended = new AbortController();
  const yielded = encodedBatches(iterator, limits);
  const gathered = { messages: commitMaxMessages, chars: GATHERED_CHARS };
  const batches = task.groupCommits === true ? new Gatherer(yielded, gathered, ended.signal) : yielded;
  let position = start;
  try {
    for (;;) {
      const next = await untilAborted(
        batches.next().then((batch) => ({ batch })),
        signal,
      );
      if (next === undefined) return 'done';
      const { batch } = next;
      if (batch === undefined) {
        logger.info('nothing more to generate', { generated: position.generated });
        return 'done';
      }
      const result = await commitWhenAllowed(position, batch, options);
      if (result === undefined) return 'done';
      if (result.outcome === 'diverged') return 'diverged';
      position = result.position;
      logger.debug('committed', { messages: batch.messages.length, generated: position.generated });
    }
  } finally {
    ended.abort();
    const cleaned = new AbortController();
    const returned = Promise.resolve(iterator.return?.()).catch(() => undefined);
    void returned.then(() => cleaned.abort());
    await sleep(CLEAN_UP_TIMEOUT_MS, cleaned.signal);
  }
}

/**
 * Commits the batch; waits while the backlog is full or generation is paused. Returns undefined if the term ends first.
 */
async function commitWhenAllowed(
  from: PreparedPosition,
  batch: EncodedBatch,
  { committer, pauses, signal, logger }: RunningOptions,
): Promise<Extract<CommitResult, { outcome: 'committed' | 'diverged' }> | undefined> {
  let isFull = false;
  for (;;) {
    const result = await committer.commit(from, batch);
    pauses.heard(result.outcome === 'paused' ? result.pause : undefined);
    if (result.outcome === 'committed' || result.outcome === 'diverged') return result;
    if (result.outcome === 'full' && !isFull)
      logger.info('the backlog is full (MAX_BACKLOG); generation is paused');
    isFull = result.outcome === 'full';
    await pauses.wait(RETRY_INTERVAL_MS[result.outcome], signal);
    if (signal.aborted) return undefined;
  }
}

function encodedBatches(iterator: AsyncIterator<unknown>, limits: BatchLimits): BatchSource {
  return {
    async next() {
      const result = await iterator.next();
      return result.done === true ? undefined : encodeBatch(result.value, limits);
    },
  };
}

function iterate(iterable: unknown): AsyncIterator<unknown> {
  const candidate = iterable as Partial<AsyncIterable<unknown>> | null | undefined;
  const iterator = candidate?.[Symbol.asyncIterator]?.();
  if (iterator !== undefined) return iterator;
  throw new TypeError(`generate returned ${describe(iterable)}, expected an async iterable of batches`);
}
