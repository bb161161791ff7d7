import { isNotConnectionError, type Job, MetricsTime, type Telemetry, WaitingError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Config } from '../config';
import { toError } from '../errors';
import { type Keys, QUEUE_NAME } from '../keys';
import type { Logger } from '../logger';
import type { Task } from '../tasks/task';
import { sleep } from '../time';
import { storableError } from '../errorLog/record';
import { MessageInHand } from './activeMessage';

export type MessageOutcome = 'completed' | 'failed' | 'retried';

/** Told how handling goes. Called for every message: it costs next to nothing, and never throws. */
export interface HandlingObserver {
  /**
   * The handler has ended, one way or the other. In milliseconds.
   *
   * @param waited from the commit until now; undefined for what had been tried or retried before
   */
  handled(took: number, waited: number | undefined): void;
  /** What became of the message; `retried` will be tried again. */
  ended(outcome: MessageOutcome): void;
}

export interface MessageWorkerOptions {
  /** A connection of the role `queue`; stays the caller's to close. */
  readonly connection: Redis;
  readonly keys: Pick<Keys, 'queuePrefix'>;
  readonly task: Pick<Task, 'handle'>;
  readonly instance: string;
  readonly config: Pick<Config, 'concurrency' | 'jobLockMs' | 'onStall'>;
  readonly observer?: HandlingObserver | undefined;
  readonly telemetry?: Telemetry | undefined;
  readonly logger: Logger;
}

/** How long handlers may take to end once their signal has aborted at shutdown, in milliseconds. */
const ABANDON_MS = 500;

/** Handles messages with a BullMQ worker: takes each from the queue, hands it to the task, and reports how it went. */
export class MessageWorker {
  #worker: Worker;
  readonly #options: MessageWorkerOptions;
  /** Messages that failed finally while this worker was being stopped. */
  readonly failedAtTheEnd: string[] = [];
  #handled = 0;
  #failed = 0;
  #taken = 0;
  readonly #inHand = new Map<string, MessageInHand>();
  readonly #renounced = new Set<string>();
  #abandoning = false;
  #broken = false;
  #reported: string | undefined;

  constructor(options: MessageWorkerOptions) {
    this.#options = options;
    this.#worker = this.#createWorker();
  }

  #createWorker(): Worker {
    const { connection, keys, instance, config, observer, telemetry, logger } = this.#options;
    // Two parameters: with a third, BullMQ makes an AbortSignal for every message, at 5 % of what handling one takes.
    const worker = new Worker(QUEUE_NAME, (job, token) => this.#process(job, token), {
      connection,
      prefix: keys.queuePrefix,
      name: instance,
      autorun: false,
      concurrency: config.concurrency,
      lockDuration: config.jobLockMs,
      // A lock that ran out is noticed within half as long again: at the second look after it.
      stalledInterval: Math.ceil(config.jobLockMs / 4),
      // `fail`: BullMQ gives a stalled message to a worker, which fails it without handling it.
      maxStalledCount: config.onStall === 'fail' ? 0 : Number.MAX_SAFE_INTEGER,
      // BullMQ's default, 15 s, is longer than most outages of a Redis that restarts.
      runRetryDelay: 500,
      // Completed jobs are removed; these counts stay.
      metrics: { maxDataPoints: MetricsTime.ONE_HOUR * 24 },
      ...(telemetry && { telemetry }),
    });
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
      if (final && worker.closing !== undefined) this.failedAtTheEnd.push(job.id!);
      const text = final ? 'a message failed' : 'a message failed and will be tried again';
      logger.warn(text, { id: job.id, error, ...(!final && { attempts: job.attemptsMade }) });
    });
    worker.on('lockRenewalFailed', (ids) => {
      logger.warn('messages in hand were lost to others: their locks ran out (JOB_LOCK_MS)', { ids });
      for (const id of ids) this.#inHand.get(id)?.abort('its lock was lost');
    });
    return worker;
  }

  /** Messages that this instance has completed, and that finally failed on it. */
  get counts(): { handled: number; failed: number } {
    return { handled: this.#handled, failed: this.#failed };
  }

  /** False once handling has ended by itself, which nothing is known to bring about. */
  get works(): boolean {
    return !this.#broken;
  }

  /** Messages being handled now. */
  get activeCount(): number {
    return this.#inHand.size;
  }

  /** Messages ever taken from the queue. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether it would take a message, were there one. */
  get isIdle(): boolean {
    const worker = this.#worker;
    const listens = worker.isRunning() && !worker.isPaused() && worker.closing === undefined;
    return listens && this.#inHand.size === 0;
  }

  /** Whether this message is being handled now. */
  holds(id: string): boolean {
    return this.#inHand.has(id);
  }

  /** Does not handle the message with this lock token any more, should it still arrive. */
  renounce(token: string): void {
    this.#renounced.add(token);
  }

  /** Starts to handle messages, or goes on after `pause`. */
  resume(): void {
    if (this.#worker.isPaused()) void this.#worker.resume();
    else if (!this.#worker.isRunning())
      void this.#worker.run().catch((error: unknown) => this.#stopped(error));
  }

  /** Takes no further message. Those in hand are finished. */
  pause(): void {
    if (!this.#worker.isPaused()) void this.#worker.pause().catch((error: unknown) => this.#stopped(error));
  }

  /** Gives up the connections to the queue that it has, and opens new ones. For when it is idle. */
  rebuild(): void {
    const deaf = this.#worker;
    this.#worker = this.#createWorker();
    // It may never get there.
    void deaf.close(true).catch(() => undefined);
    this.resume();
  }

  /**
   * Takes no further message and lets those in hand finish. After `timeoutMs` milliseconds their signals abort; what
   * then ends with an error is given back to the queue, or failed where ON_STALL says that nothing is handled twice.
   */
  async stop(timeoutMs: number): Promise<void> {
    const closed = new AbortController();
    const closing = this.#worker.close().finally(() => closed.abort());
    closing.catch(() => undefined);
    if (this.#inHand.size > 0) {
      this.#options.logger.info('finishing the message in hand', { messages: this.#inHand.size });
      await sleep(timeoutMs, closed.signal);
    }
    if (this.#inHand.size > 0) {
      this.#options.logger.warn('the message in hand was not finished in time (SHUTDOWN_TIMEOUT_MS)');
      this.#abandoning = true;
      for (const message of this.#inHand.values()) message.abort('the instance is shutting down');
    }
    await sleep(ABANDON_MS, closed.signal);
  }

  async #process(job: Job, token: string | undefined): Promise<void> {
    const { task, config, observer, logger } = this.#options;
    // BullMQ's word for: it is where it belongs, leave it.
    if (this.#renounced.has(token!)) throw new WaitingError();
    const id = job.id!;
    const message = new MessageInHand(id, job.attemptsStarted, logger);
    this.#inHand.set(id, message);
    this.#taken++;
    const startedAt = performance.now();
    try {
      await task.handle(job.data, message.context);
    } catch (thrown) {
      if (this.#abandoning && message.isAborted && config.onStall === 'retry') {
        await job.moveToWait(token);
        throw new WaitingError();
      }
      throw storableError(toError(thrown));
    } finally {
      this.#inHand.delete(id);
      observer?.handled(performance.now() - startedAt, waitedMs(job));
    }
  }

  /** Said once: BullMQ tries again and again. Of the connection, somebody else speaks. */
  #report(error: Error): void {
    const { logger } = this.#options;
    if (!isNotConnectionError(error) || error.message === this.#reported) return;
    this.#reported = error.message;
    logger.warn('BullMQ had a problem with a message or with Redis', { error });
  }

  #stopped(error: unknown): void {
    this.#broken = true;
    this.#options.logger.error('the worker has stopped', { error: toError(error) });
  }
}

/** By the clocks of two machines, so that it may be a little wrong. */
function waitedMs({ attemptsStarted, stacktrace, processedOn = 0, timestamp }: Job): number | undefined {
  // What has failed before has a stack, also where a retry by hand has set its attempts back.
  const isFirst = attemptsStarted === 1 && (stacktrace ?? []).length === 0;
  return isFirst ? Math.max(0, processedOn - timestamp) : undefined;
}
