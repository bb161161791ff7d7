/*
 * The error recorder: while this instance is the keeper, it reads BullMQ's event stream and keeps the error log up to
 * date.
 *
 * Events are processed in order, one batch at a time, and the position in the stream is stored together with the
 * records: if batches ran concurrently, a later position could be stored before an earlier record, and a crash in
 * between would lose that record.
 *
 * The stream is trimmed (BullMQ keeps about 10,000 events), and a failover of Redis can lose events. Therefore the log
 * is audited every second, and reconciled with the failed set when failures are missing: see auditor.ts.
 *
 * Nothing here waits for Redis without a deadline. A failed step is repeated until it succeeds; if Redis has not
 * answered for so long that the connections themselves are suspect, recording rejects, so that it is restarted.
 */
import { QueueEvents } from 'bullmq';
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import { type Keys, QUEUE_NAME } from '../keys';
import type { Logger } from '../logging/logger';
import { sleep } from '../time';
import { Auditor } from './auditor';
import type { ErrorLog } from './errorLog';
import { readingErrors } from './eventFilter';
import { compareIds, PendingEvents } from './pendingEvents';

/**
 * `upToDate`: every failure whose event can be read is recorded. `working`: Redis has answered, and more events remain.
 * `waiting`: Redis has not answered, or has refused a command.
 */
export type RecorderState = 'upToDate' | 'working' | 'waiting';

export interface ErrorRecorderOptions {
  /** A connection of the role `queue`; the listener duplicates it. */
  readonly connection: Redis;
  readonly control: Redis;
  readonly keys: Keys;
  readonly errorLog: ErrorLog;
  /** Called with the current state several times a second. */
  readonly onState?: (state: RecorderState) => void;
  /** Recording ends when it aborts. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Number of jobs synced in one step. */
const BATCH_SIZE = 200;
/** Longest and shortest interval between two reports of the state, in milliseconds. */
const STATE_INTERVAL_MS = 400;
const MIN_STATE_INTERVAL_MS = 200;
const AUDIT_INTERVAL_MS = 1000;
const RETRY_MS = 100;
/** Maximum age of the last read to the end of the stream for the recorder to be up to date, in milliseconds. */
const MAX_READ_AGE_MS = 1500;
const CLOSE_TIMEOUT_MS = 300;
/** After this time without an answer, connections are reopened, in milliseconds. */
const MAX_SILENCE_MS = 10_000;
/** Represents jobs that were removed in bulk, whose event does not name them. No job has an empty id. */
const BULK = '';

/**
 * Records errors until the signal aborts.
 *
 * @throws if Redis has not answered for 10 s
 */
export async function recordErrors(options: ErrorRecorderOptions): Promise<void> {
  const recorder = new Recorder(options);
  while (!options.signal.aborted) await recorder.listen();
}

class Recorder {
  readonly #options: ErrorRecorderOptions;
  #answeredAt = performance.now();
  #toldAt = -Infinity;
  /** When the end of the stream was last reached. */
  #readAt = -Infinity;

  constructor(options: ErrorRecorderOptions) {
    this.#options = options;
  }

  /** Reads events from where the last recorder stopped. Ends when the signal aborts or the stream has lost events. */
  async listen(): Promise<void> {
    const { connection, control, keys, logger } = this.#options;
    const start = await this.#repeat(() => readStart(control, keys));
    if (start === undefined) return;
    const pending = new PendingEvents(start.position);
    const onRead = (atEnd: boolean) => {
      if (atEnd) this.#readAt = performance.now();
      this.#tell('working');
    };
    const settings = { connection, prefix: keys.queuePrefix, lastEventId: start.position };
    const events = new QueueEvents(QUEUE_NAME, settings, readingErrors(control, keys, onRead));
    events.on('error', (error) => logger.debug('the event listener had an error', { error }));
    events.on('failed', ({ jobId }, id) => pending.add(id, jobId));
    events.on('removed', ({ jobId }, id) => pending.add(id, jobId));
    events.on('waiting', ({ jobId, prev }, id) => pending.add(id, prev === 'failed' ? jobId : undefined));
    events.on('cleaned', ({ count }, id) => pending.add(id, count === '0' ? undefined : BULK));
    // Other events only advance the position.
    for (const other of ['added', 'active', 'completed', 'delayed'] as const)
      events.on(other, (_: unknown, id: string) => pending.add(id));
    events.on('drained', (id) => pending.add(id));
    try {
      await this.#record(pending, new Auditor(this.#options, start.difference));
    } finally {
      // It does not resolve while Redis is unreachable.
      await Promise.race([events.close().catch(() => undefined), sleep(CLOSE_TIMEOUT_MS)]);
    }
  }

  async #record(pending: PendingEvents, auditor: Auditor): Promise<void> {
    const { signal, logger } = this.#options;
    let auditAt = auditor.isOwed ? 0 : performance.now() + AUDIT_INTERVAL_MS;
    for (; !signal.aborted; await pending.wait(STATE_INTERVAL_MS, signal)) {
      const { ids, position } = pending.take(BATCH_SIZE);
      await this.#repeat(() => this.#process(ids, position));
      const caughtUp = pending.isEmpty && performance.now() - this.#readAt < MAX_READ_AGE_MS;
      if (caughtUp && !auditor.isOwed) this.#tell('upToDate');
      if (performance.now() < auditAt || signal.aborted) continue;
      auditAt = performance.now() + AUDIT_INTERVAL_MS;
      const audited = await this.#repeat(() => auditor.audit(pending.position, () => this.#tell('working')));
      if (audited !== false) continue;
      logger.warn('the event stream has lost events: reconciling the error log');
      return;
    }
  }

  async #process(ids: ReadonlySet<string>, position: string | undefined): Promise<void> {
    const { errorLog, signal } = this.#options;
    // Done before the position is stored, because the next recorder starts after it.
    if (ids.has(BULK)) await errorLog.pruneRemoved(signal, () => this.#tell('working'));
    if (signal.aborted || position === undefined) return;
    await errorLog.sync(
      [...ids].filter((id) => id !== BULK),
      position,
    );
  }

  /** Repeats a step until it succeeds. Returns undefined if the signal aborts first. */
  async #repeat<T>(step: () => Promise<T>): Promise<T | undefined> {
    const { signal, logger } = this.#options;
    while (!signal.aborted) {
      try {
        const result = await step();
        this.#tell('working');
        return result;
      } catch (error) {
        if (performance.now() - this.#answeredAt > MAX_SILENCE_MS) throw error;
        this.#tell('waiting');
        logger.debug('recording errors was interrupted', { error: toError(error) });
        await sleep(RETRY_MS, signal);
      }
    }
    return undefined;
  }

  #tell(state: RecorderState): void {
    const now = performance.now();
    if (state !== 'waiting') this.#answeredAt = now;
    // Report important changes immediately; limit the rate of all others.
    if (now - this.#toldAt < MIN_STATE_INTERVAL_MS && state !== 'upToDate') return;
    this.#toldAt = now;
    this.#options.onState?.(state);
  }
}

interface Start {
  readonly position: string;
  /** See Auditor; undefined if the stream no longer has the position at which the last recorder stopped. */
  readonly difference: number | undefined;
}

async function readStart(client: Redis, keys: Keys): Promise<Start> {
  const [position, difference] = await client.hmget(keys.recorder, 'position', 'difference');
  const [[first], [last]] = await Promise.all([
    client.xrange(keys.events, '-', '+', 'COUNT', 1),
    client.xrevrange(keys.events, '+', '-', 'COUNT', 1),
  ]);
  const [oldest, newest] = [first?.[0] ?? '0-0', last?.[0] ?? '0-0'];
  const resumes =
    typeof position === 'string' && compareIds(position, oldest) >= 0 && compareIds(position, newest) <= 0;
  if (resumes)
    return { position, difference: typeof difference === 'string' ? Number(difference) : undefined };
  // Until a reconciliation has been done, the missing number makes every recorder start one.
  await client.multi().hset(keys.recorder, 'position', newest).hdel(keys.recorder, 'difference').exec();
  return { position: newest, difference: undefined };
}
