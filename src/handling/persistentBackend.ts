/*
 * When BullMQ's worker cannot store an outcome, it retries only after connection errors. If Redis refuses for another
 * reason (NOREPLICAS, MISCONF, OOM, BUSY, READONLY, LOADING, a changed password, too many clients), BullMQ turns the
 * success of a handler into a failure, and drops a failure: the message stays active until its lock expires, and is
 * handled again.
 *
 * This backend repeats whatever stores the outcome of a message until Redis gives a definite result. The only definite
 * results are the status codes of BullMQ's scripts. One of them needs care: "the lock is missing" is also the reply to
 * a command that ioredis or this backend sent a second time because the first reply was lost. In that case the backend
 * checks whether the outcome is already in Redis.
 */
import { type BackendFactory, createRedisBackend, type RedisQueueBackend } from 'bullmq';
import { toError } from '../errors';
import { ERROR_FIELD } from '../errorLog/record';
import { MAX_BLOCKING_MS } from '../redis/roles';
import { sleep } from '../time';

export interface PersistentBackendOptions {
  readonly lockMs: number;
  /** Reads fields of a job's hash; null for a field, or a job, that does not exist. */
  readonly readJob: (id: string, ...fields: string[]) => Promise<(string | null)[]>;
  /** The value of ERROR_FIELD for a failed message; undefined if its handler did not run. */
  readonly errorDetails: (id: string) => string | undefined;
  /** Called when nothing more will be stored for a delivered message. */
  readonly onSettled: (id: string, token: string) => void;
  /** Called when the lock of a message was lost before its outcome was stored. */
  readonly onLost: (id: string) => void;
  /** Called when Redis refuses a command that will be repeated. */
  readonly onRefused: (error: Error) => void;
  /** Whether the worker takes no more messages. */
  readonly isClosing: () => boolean;
  /** Aborts when the worker abandons whatever is still active. */
  readonly abandoned: AbortSignal;
}

/** In seconds, as BullMQ wants it. */
export const MAX_BLOCK_S = MAX_BLOCKING_MS / 1000;

const MIN_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 500;
/** Number of stacks kept for a message's failed attempts, newest last. */
const MAX_STACKS = 5;

interface Delivery {
  readonly id: string;
  readonly token: string;
}

export function persistentBackend(options: PersistentBackendOptions): BackendFactory<RedisQueueBackend> {
  return (name, opts, factoryOptions) => {
    const backend = createRedisBackend(name, opts, factoryOptions);
    Object.defineProperty(backend, 'maximumBlockTimeout', { value: MAX_BLOCK_S });
    persistFetch(backend, options);
    persistLocks(backend, options);
    persistOutcomes(backend, options);
    return backend;
  };
}

/** Repeats a refused fetch with a backoff; BullMQ would repeat it immediately, thousands of times a second. */
function persistFetch(backend: RedisQueueBackend, options: PersistentBackendOptions): void {
  const { abandoned, isClosing, onRefused } = options;
  const moveToActive = backend.moveToActive.bind(backend);
  backend.moveToActive = (token, workerName) =>
    // A replaced worker could not store the outcome of another message.
    abandoned.aborted
      ? Promise.resolve([])
      : repeat(() => moveToActive(token, workerName), { until: isClosing, abandoned, onRefused });
}

/** Repeats refused renewals sooner than BullMQ would; the regular renewals continue in any case. */
function persistLocks(backend: RedisQueueBackend, options: PersistentBackendOptions): void {
  const { lockMs, abandoned, onRefused } = options;
  const extendLocks = backend.extendLocks.bind(backend);
  backend.extendLocks = (ids, tokens, duration) => {
    const deadline = performance.now() + lockMs / 4;
    const until = () => performance.now() > deadline;
    return repeat(() => extendLocks(ids, tokens, duration), { until, abandoned, onRefused });
  };
}

function persistOutcomes(backend: RedisQueueBackend, options: PersistentBackendOptions): void {
  const { readJob } = options;
  const store = storing(backend, options);
  const withDetails = (id: string, fields: Record<string, unknown> | undefined) => {
    const details = options.errorDetails(id);
    const stacks = lastStacks(fields?.['stacktrace']);
    return { ...fields, ...stacks, ...(details !== undefined && { [ERROR_FIELD]: details }) };
  };
  const failureIsStored = async (id: string, { stacktrace }: Record<string, unknown>) => {
    const [stored] = await readJob(id, 'stacktrace');
    // Later attempts append their own stacks.
    return typeof stacktrace === 'string' && !!stored?.startsWith(stacktrace.slice(0, -1));
  };

  const moveToCompleted = backend.moveToCompleted.bind(backend);
  backend.moveToCompleted = (job, value, keep, token, fetchNext) =>
    store({ id: job.id!, token }, () => moveToCompleted(job, value, keep, token, fetchNext), {
      isStored: async () => {
        const [finishedOn, returned, starts] = await readJob(job.id!, 'finishedOn', 'returnvalue', 'ats');
        // A job that no longer exists was completed and dropped (KEEP_COMPLETED), or deleted manually.
        if (typeof starts !== 'string') return true;
        return finishedOn !== null && returned !== null && isStart(job, starts);
      },
      value: { result: undefined, finishedOn: Date.now() },
    });

  const moveToFailed = backend.moveToFailed.bind(backend);
  backend.moveToFailed = (job, reason, keep, token, fetchNext, fields) => {
    const all = withDetails(job.id!, fields);
    return store({ id: job.id!, token }, () => moveToFailed(job, reason, keep, token, fetchNext, all), {
      isStored: async () => {
        const [finishedOn, starts] = await readJob(job.id!, 'finishedOn', 'ats');
        if (typeof starts !== 'string') return true;
        return finishedOn !== null && isStart(job, starts) && failureIsStored(job.id!, all);
      },
      value: { result: undefined, finishedOn: Date.now() },
    });
  };

  const moveToDelayed = backend.moveToDelayed.bind(backend);
  backend.moveToDelayed = (id, timestamp, delay, token = '0', opts = {}) => {
    const all = { ...opts, fieldsToUpdate: withDetails(id, opts.fieldsToUpdate) };
    return store<void | unknown[]>({ id, token }, () => moveToDelayed(id, timestamp, delay, token, all), {
      isStored: () => failureIsStored(id, all.fieldsToUpdate),
      value: undefined,
    });
  };

  const retryJob = backend.retryJob.bind(backend);
  backend.retryJob = (id, lifo, token = '0', opts = {}) => {
    const all = { ...opts, fieldsToUpdate: withDetails(id, opts.fieldsToUpdate) };
    return store({ id, token }, () => retryJob(id, lifo, token, all), {
      isStored: () => failureIsStored(id, all.fieldsToUpdate),
      value: undefined,
    });
  };

  const moveToWait = backend.moveJobFromActiveToWait.bind(backend);
  backend.moveJobFromActiveToWait = (id, token = '0') =>
    // The message is no longer active on this instance, whichever instance has it now. That is the goal.
    store<unknown>({ id, token }, () => moveToWait(id, token), {
      isStored: () => Promise.resolve(true),
      value: 0,
    });
}

interface Stored<T> {
  /** Whether Redis has the outcome although it refused to store it this time. */
  readonly isStored: () => Promise<boolean>;
  /** The result if it is stored. */
  readonly value: T;
}

/** Stores the outcome of a message, however long it takes, and keeps its lock renewed. */
function storing(backend: RedisQueueBackend, options: PersistentBackendOptions) {
  const { lockMs, abandoned, onSettled, onLost, onRefused } = options;
  const extendLock = backend.extendLock.bind(backend);
  const until = () => false;
  return async <T>({ id, token }: Delivery, send: () => Promise<T>, stored: Stored<T>): Promise<T> => {
    let renewedAt = performance.now();
    const renew = (error: Error) => {
      onRefused(error);
      if (performance.now() - renewedAt < lockMs / 4) return;
      renewedAt = performance.now();
      // Not awaited: a lost lock shows when the outcome is sent again.
      extendLock(id, token, lockMs).catch(() => undefined);
    };
    try {
      return await repeat(send, { until, abandoned, onRefused: renew });
    } catch (thrown) {
      if (!isVerdict(thrown)) throw thrown;
      if (await repeat(stored.isStored, { until, abandoned, onRefused })) return stored.value;
      onLost(id);
      throw thrown;
    } finally {
      onSettled(id, token);
    }
  };
}

interface RepeatOptions {
  readonly until: () => boolean;
  readonly abandoned: AbortSignal;
  readonly onRefused: (error: Error) => void;
}

/** Repeats until Redis gives a definite result. Rejects with the last error when it is stopped. */
async function repeat<T>(send: () => Promise<T>, { until, abandoned, onRefused }: RepeatOptions): Promise<T> {
  for (let backoffMs = MIN_BACKOFF_MS; ; backoffMs = Math.min(2 * backoffMs, MAX_BACKOFF_MS)) {
    try {
      return await send();
    } catch (thrown) {
      if (isVerdict(thrown) || abandoned.aborted || until()) throw thrown;
      onRefused(toError(thrown));
      await sleep(backoffMs, abandoned);
    }
  }
}

/** Whether a BullMQ script replied: its errors carry a negative status. All other errors are temporary. */
export function isVerdict(thrown: unknown): boolean {
  return typeof (thrown as { code?: unknown } | undefined)?.code === 'number';
}

function isStart(job: object, starts: string): boolean {
  return String((job as { attemptsStarted?: number }).attemptsStarted) === starts;
}

/** BullMQ can limit them only by an option of every job. */
function lastStacks(stacktrace: unknown): { stacktrace?: string } {
  if (typeof stacktrace !== 'string') return {};
  const stacks = JSON.parse(stacktrace) as string[];
  return { stacktrace: stacks.length > MAX_STACKS ? JSON.stringify(stacks.slice(-MAX_STACKS)) : stacktrace };
}
