/*
 * The error recorder: while this instance leads, it listens to BullMQ's event stream and keeps the error log true.
 *
 * Events are dealt with in their order, some at a time, and the position in the stream is stored together with the
 * records: dealt with side by side, a later position could be stored before an earlier record, and a crash in between
 * would lose that record.
 *
 * The stream forgets (BullMQ keeps about 10,000 events), and so does a Redis that fails over. Then the log is
 * reconciled with the failed set: at the start of a term whose predecessor's position is gone from the stream, and
 * whenever records are missing although the events have been read.
 */
import { QueueEvents } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import { type Keys, QUEUE_NAME } from '../keys';
import type { Logger } from '../logger';
import { sleep } from '../time';
import { MAX_BLOCKING_MS } from '../redis/roles';
import type { ErrorLog } from './errorLog';
import { readingErrors } from './eventFilter';

export interface ErrorRecorderOptions {
  /** A connection of the role `queue`; the listener duplicates it. */
  readonly connection: Redis;
  readonly control: Redis;
  readonly keys: Keys;
  readonly errorLog: ErrorLog;
  /** Told when it begins to listen, and when that has ended. */
  readonly onListening?: (listening: boolean) => void;
  /** Recording ends when it aborts. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Jobs synced in one step. */
const BATCH = 200;
/** How often to look whether records are missing, in milliseconds. */
const AUDIT_MS = 2000;
const RETRY_MS = 500;
/** Stands for the jobs that were removed many at a time: their event does not name them. No job has an empty id. */
const MANY = '';

/** Records errors until the signal aborts. Never rejects: when Redis is away it waits. */
export async function recordErrors(options: ErrorRecorderOptions): Promise<void> {
  const { signal, logger } = options;
  while (!signal.aborted) {
    try {
      await listen(options);
    } catch (error) {
      if (signal.aborted) return;
      logger.debug('recording errors was interrupted', { error: toError(error) });
      await sleep(RETRY_MS, signal);
    }
  }
}

/** Listens from where the last recorder stood. Ends when the signal aborts or the stream turns out to be another. */
async function listen(options: ErrorRecorderOptions): Promise<void> {
  const { connection, control, keys, errorLog, signal, logger } = options;
  const stored = await control.hget(keys.recorder, 'position');
  const { first, last } = await streamEnds(control, keys);
  const resumes = stored !== null && compareIds(stored, first) >= 0 && compareIds(stored, last) <= 0;
  const start = resumes ? stored : last;

  const settings = {
    connection,
    prefix: keys.queuePrefix,
    lastEventId: start,
    blockingTimeout: MAX_BLOCKING_MS,
  };
  const events = new QueueEvents(QUEUE_NAME, settings, readingErrors(control, keys));
  const pending = new PendingEvents(start);
  events.on('error', (error) => logger.debug('the event listener had an error', { error }));
  events.on('failed', ({ jobId }, id) => pending.add(id, jobId));
  events.on('removed', ({ jobId }, id) => pending.add(id, jobId));
  events.on('waiting', ({ jobId, prev }, id) => pending.add(id, prev === 'failed' ? jobId : undefined));
  // Of the others, what matters is how far they go.
  for (const other of ['added', 'active', 'completed', 'delayed'] as const)
    events.on(other, (_: unknown, id: string) => pending.add(id));
  events.on('drained', (id) => pending.add(id));
  events.on('cleaned', ({ count }, id) => pending.add(id, count === '0' ? undefined : MANY));
  options.onListening?.(true);
  try {
    if (!resumes) {
      await errorLog.reconcile(signal);
      if (!signal.aborted) await errorLog.sync([], start);
    }
    let audited = performance.now();
    let missingBefore = await errorLog.missing();
    while (!signal.aborted) {
      await pending.wait(AUDIT_MS, signal);
      const { ids, position } = pending.take(BATCH);
      // Before the position is stored: whoever goes on from there has it behind them.
      if (ids.delete(MANY)) {
        await errorLog.forgetRemoved(signal);
        if (signal.aborted) return;
      }
      if (position !== undefined) await errorLog.sync([...ids], position);
      if (performance.now() - audited < AUDIT_MS) continue;

      audited = performance.now();
      if (compareIds((await streamEnds(control, keys)).last, pending.position) < 0) {
        logger.warn('the event stream has lost events: reconciling the error log');
        await control.hdel(keys.recorder, 'position');
        return;
      }
      const missing = await errorLog.missing();
      // Some always are, under way; more than before although nothing is under way are lost events.
      if (missing > Math.min(missingBefore, 0) && pending.isEmpty) {
        const started = performance.now();
        await errorLog.reconcile(signal);
        // Not all the time, where it takes long.
        audited = performance.now() + 10 * (performance.now() - started);
      }
      missingBefore = await errorLog.missing();
    }
  } finally {
    options.onListening?.(false);
    await events.close().catch(() => undefined);
  }
}

/** Events that have been read but not dealt with. */
class PendingEvents {
  #jobs: { eventId: string; jobId: string }[] = [];
  #read: string;
  #stored: string;
  #arrived = new AbortController();

  constructor(start: string) {
    this.#read = start;
    this.#stored = start;
  }

  /** Id of the last event read. */
  get position(): string {
    return this.#read;
  }

  get isEmpty(): boolean {
    return this.#jobs.length === 0;
  }

  add(eventId: string, jobId?: string): void {
    this.#read = eventId;
    if (jobId === undefined) return;
    this.#jobs.push({ eventId, jobId });
    this.#arrived.abort();
  }

  /** Resolves when there are jobs to sync, and after `ms` milliseconds at the latest. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#jobs.length > 0) return;
    this.#arrived = new AbortController();
    await sleep(ms, this.#arrived.signal, signal);
  }

  /** The next jobs to sync, and the position reached with them; without one, nothing has happened. */
  take(most: number): { ids: Set<string>; position: string | undefined } {
    const taken = this.#jobs.splice(0, most);
    const position = this.#jobs.length === 0 ? this.#read : taken.at(-1)!.eventId;
    const moved = position !== this.#stored;
    this.#stored = position;
    return { ids: new Set(taken.map(({ jobId }) => jobId)), position: moved ? position : undefined };
  }
}

/** Ids of the oldest and the newest event; both 0-0 for an empty stream. */
async function streamEnds(client: Redis, keys: Keys): Promise<{ first: string; last: string }> {
  const [[first], [last]] = await Promise.all([
    client.xrange(keys.events, '-', '+', 'COUNT', 1),
    client.xrevrange(keys.events, '+', '-', 'COUNT', 1),
  ]);
  return { first: first?.[0] ?? '0-0', last: last?.[0] ?? '0-0' };
}

/** Negative, zero or positive, as stream ids `milliseconds-sequence` are ordered. */
export function compareIds(a: string, b: string): number {
  const [aTime = 0, aSequence = 0] = a.split('-').map(Number);
  const [bTime = 0, bSequence = 0] = b.split('-').map(Number);
  return aTime - bTime || aSequence - bSequence;
}
