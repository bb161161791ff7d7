import { isNotConnectionError, type Job, WaitingError } from 'bullmq';
import { detailsOf, errorDetails, storableError } from '../errorLog/record';
import { toError } from '../errors';
import type { Keys } from '../keys';
import { inFull } from '../logging/logger';
import { sleep } from '../time';
import { ActiveMessage } from './activeMessage';
import { ActiveMessages } from './activeMessages';
import { type BullWorker, type BullWorkerOptions, openBullWorker } from './bullWorker';
import { type HandlerOptions, isPermanent, permanent, runHandler } from './handler';
import { type HandlingObserver, waitedMs } from './observer';
import { isVerdict, persistentBackend } from './persistentBackend';

export interface MessageWorkerOptions extends BullWorkerOptions, HandlerOptions {
  readonly keys: Pick<Keys, 'queuePrefix' | 'job'>;
  readonly config: BullWorkerOptions['config'] & HandlerOptions['config'];
  readonly observer?: HandlingObserver | undefined;
}

/**
 * `aborting`: the time to finish active messages is over, and their signals have aborted. `broken`: the worker ended by
 * itself, for which no cause is known.
 */
type State = 'new' | 'running' | 'paused' | 'stopping' | 'aborting' | 'stopped' | 'broken';

/** How long handlers can take to end after their signal has aborted at shutdown, in milliseconds. */
const ABORT_TIMEOUT_MS = 500;

/** Handles messages with a BullMQ worker: takes each from the queue, passes it to the task, and stores the outcome. */
export class MessageWorker {
  readonly #options: MessageWorkerOptions;
  /** Messages that finally failed while this worker was being stopped. */
  readonly failedWhileStopping: string[] = [];
  readonly #active = new ActiveMessages();
  /** Deliveries that were reclaimed because they had not arrived. If one arrives later, it is ignored. */
  readonly #rejected = new Set<string>();
  #worker: BullWorker;
  /** Aborts when #worker abandons whatever is still active. */
  #abandonment = new AbortController();
  #state: State = 'new';
  #handled = 0;
  #failed = 0;
  #taken = 0;
  #lastReport: string | undefined;

  constructor(options: MessageWorkerOptions) {
    this.#options = options;
    this.#worker = this.#createWorker();
  }

  /** Messages that this instance has completed, and messages that finally failed on it. */
  get counts(): { handled: number; failed: number } {
    return { handled: this.#handled, failed: this.#failed };
  }

  get works(): boolean {
    return this.#state !== 'broken';
  }

  /** Messages that are being handled or whose outcome is being stored. */
  get activeCount(): number {
    return this.#active.size;
  }

  /** Active messages that take unusually long: more than ten times the median, and at least a minute. */
  get slowCount(): number {
    return this.#active.slow().length;
  }

  /** How long the oldest active message has been active, in milliseconds; 0 if there is none. */
  get oldestActiveMs(): number {
    return this.#active.oldestMs;
  }

  /** Number of messages ever taken from the queue. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether it would take a message if one were waiting. */
  get isIdle(): boolean {
    return this.#state === 'running' && this.#worker.isRunning() && this.#active.size === 0;
  }

  isActive(id: string): boolean {
    return this.#active.has(id);
  }

  /** Ignores this delivery of a message if it still arrives. */
  rejectDelivery(id: string, attempt: number): void {
    this.#rejected.add(`${id} ${attempt}`);
  }

  /** Starts handling messages, or continues after `pause`. */
  resume(): void {
    if (this.#state === 'paused') {
      this.#state = 'running';
      void this.#worker.resume();
    } else if (this.#state === 'new') {
      this.#state = 'running';
      this.#run();
    }
  }

  /** Takes no more messages. Active ones are finished. */
  pause(): void {
    if (this.#state !== 'running') return;
    this.#state = 'paused';
    void this.#worker.pause().catch((error: unknown) => this.#break(error));
  }

  /** Replaces the connections on which it waits for messages. Call it only while the worker is idle. */
  restart(): void {
    const stalled = this.#worker;
    this.#abandonment.abort();
    this.#abandonment = new AbortController();
    this.#worker = this.#createWorker();
    stalled.abandon();
    this.#run();
  }

  /** Warns about active messages that take unusually long, once for each. */
  reportSlow(): void {
    for (const message of this.#active.slow()) {
      if (message.isReportedSlow) continue;
      message.isReportedSlow = true;
      const activeMs = Math.round(performance.now() - message.startedAt);
      this.#options.logger.warn(
        'a message has been active for an unusually long time; HANDLE_TIMEOUT_MS limits how long a handler may take',
        { id: message.id, attempt: message.attempt, activeMs },
      );
    }
  }

  /**
   * Takes no more messages and lets active ones finish. After `timeoutMs` milliseconds their signals abort; a message
   * whose handler then throws is requeued, or fails if ON_STALL forbids handling a message twice. Handlers that still
   * do not end are abandoned.
   */
  async stop(timeoutMs: number): Promise<void> {
    const { logger } = this.#options;
    this.#state = 'stopping';
    const closed = new AbortController();
    this.#worker.close().then(
      () => closed.abort(),
      () => closed.abort(),
    );
    if (this.#active.size > 0) {
      logger.info('finishing active messages', { messages: this.#active.size });
      await sleep(timeoutMs, closed.signal);
    }
    if (this.#active.size > 0) {
      logger.warn('active messages were not finished in time (SHUTDOWN_TIMEOUT_MS)', {
        messages: this.#active.size,
      });
      this.#state = 'aborting';
      for (const message of this.#active.all()) message.abort('the instance is shutting down');
    }
    await sleep(ABORT_TIMEOUT_MS, closed.signal);
    this.#state = 'stopped';
    this.#abandonment.abort();
    this.#worker.abandon();
  }

  #run(): void {
    void this.#worker.run().catch((error: unknown) => this.#break(error));
  }

  #createWorker(): BullWorker {
    const { connection, keys, config, logger } = this.#options;
    const backend = persistentBackend({
      lockMs: config.jobLockMs,
      readJob: (id, ...fields) => connection.hmget(keys.job(id), ...fields),
      errorDetails: (id) => this.#active.get(id)?.errorDetails,
      onSettled: (id, token) => this.#active.remove(id, token),
      onLost: (id) => logger.warn('the lock of a message was lost before its outcome was stored', { id }),
      onRefused: (error) => this.#report(error),
      isClosing: () => worker.closing !== undefined || worker.isPaused(),
      abandoned: this.#abandonment.signal,
    });
    const process = (job: Job, token: string) => this.#process(job, token);
    const worker: BullWorker = openBullWorker(this.#options, process, backend);
    this.#listen(worker);
    return worker;
  }

  #listen(worker: BullWorker): void {
    const { observer, logger } = this.#options;
    worker.on('error', (error) => this.#report(error));
    worker.on('completed', () => {
      this.#handled++;
      observer?.ended('completed');
    });
    worker.on('failed', (job, error) => {
      if (job === undefined) return;
      const final = job.finishedOn !== undefined;
      if (final) this.#failed++;
      observer?.ended(final ? 'failed' : 'retried');
      if (final && worker.closing !== undefined) this.failedWhileStopping.push(job.id!);
      const text = final ? 'a message failed' : 'a message failed and will be retried';
      const [attempts, details] = [job.attemptsMade, detailsOf(error)];
      logger.warn(text, { id: job.id, error: inFull(error, details), ...(!final && { attempts }) });
      if (final) observer?.failed?.({ id: job.id!, message: job.data, error: details, attempts });
    });
    worker.on('lockRenewalFailed', (ids) => {
      logger.warn('locks of active messages expired; the messages are redelivered (JOB_LOCK_MS)', { ids });
      for (const id of ids) this.#active.get(id)?.abort('its lock was lost');
    });
  }

  async #process(job: Job, token: string): Promise<void> {
    const id = job.id!;
    const attempt = job.attemptsStarted;
    // A WaitingError tells BullMQ to leave the job where it is.
    if (this.#rejected.size > 0 && this.#rejected.delete(`${id} ${attempt}`)) throw new WaitingError();
    const message = new ActiveMessage(id, attempt, token, this.#options.logger);
    this.#active.add(message);
    this.#taken++;
    try {
      await runHandler(job.data, message, this.#options);
    } catch (thrown) {
      if (this.#state === 'aborting' && message.isAborted && this.#options.config.onStall === 'retry') {
        await job.moveToWait(token);
        throw new WaitingError();
      }
      const error = storableError(thrown);
      message.errorDetails = errorDetails(thrown);
      this.#options.observer?.threw?.(detailsOf(error));
      throw isPermanent(thrown) ? permanent(error) : error;
    } finally {
      const tookMs = performance.now() - message.startedAt;
      this.#active.noteDuration(tookMs);
      this.#options.observer?.handled(tookMs, waitedMs(job));
    }
  }

  /** Logs a repeated problem only once, since BullMQ and the backend retry. Lost connections are reported elsewhere. */
  #report(error: Error): void {
    const { logger } = this.#options;
    // The backend has already reported what a script refused.
    if (isVerdict(error) || !isNotConnectionError(error) || error.message === this.#lastReport) return;
    this.#lastReport = error.message;
    logger.warn('Redis refused a command of the worker; retrying until Redis accepts it', { error });
  }

  #break(error: unknown): void {
    this.#state = 'broken';
    this.#options.logger.error('the worker has stopped', { error: toError(error) });
  }
}
