import type { Queue } from 'bullmq';
import { Worker } from 'bullmq';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageWorker } from '../../src/handling/worker';
import { keysOf } from '../../src/keys';
import { ErrorLog } from '../../src/errorLog/errorLog';
import type { StoredError } from '../../src/errorLog/pages';
import { recordErrors, type ErrorRecorderOptions } from '../../src/errorLog/recorder';
import { runRecorderThread } from '../../src/errorLog/recorderHost';
import {
  ERROR_FIELD,
  errorDetails,
  parseErrorRecord,
  storableError,
  type ErrorRecord,
} from '../../src/errorLog/record';
import { openQueue } from '../../src/redis/queue';
import { retryAllErrors, retryErrors } from '../../src/errorLog/retry';
import { killAll, startInstance } from '../helpers/instance';
import { RedisConnector } from '../../src/redis/connector';
import { parseRedisUrl } from '../../src/redis/address';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { silentLogger } from '../helpers/silentLogger';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;
let cleanUps: (() => unknown)[];

beforeEach(async () => {
  redis = await startRedis();
  cleanUps = [];
});

afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
  await killAll();
  await redis.stop();
});

/** Sets up a queue, its error log, and a BullMQ worker that fails every message with an error of the given class. */
async function parts() {
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.source().lease });
  const [control, connection] = await Promise.all([connector.connect('control'), connector.connect('queue')]);
  cleanUps.push(
    () => control.disconnect(),
    () => connection.disconnect(),
  );
  const queue = openQueue(connection, keys);
  return { control, connection, queue, errorLog: new ErrorLog(control, queue, keys) };
}

/** Handles all waiting messages with a plain BullMQ worker. */
async function handleAll(handle: (data: unknown) => unknown, concurrency = 50): Promise<void> {
  const connection = redis.client.duplicate({ maxRetriesPerRequest: null });
  const worker = new Worker('messages', (job) => Promise.resolve(job.data).then(handle), {
    connection,
    prefix: '{nic}',
    concurrency,
    name: 'bare',
  });
  await once(worker, 'drained');
  await worker.close();
  connection.disconnect();
}

const fail = (data: unknown) => {
  throw new TypeError(`no ${JSON.stringify(data)}`);
};
const addAll = (queue: Queue, from: number, to: number) =>
  queue.addBulk(
    Array.from({ length: to - from + 1 }, (_, index) => ({ name: 'message', data: from + index })),
  );

function record(options: Awaited<ReturnType<typeof parts>> & Pick<ErrorRecorderOptions, 'onState'>) {
  const stop = new AbortController();
  const recording = recordErrors({ ...options, keys, signal: stop.signal, logger: silentLogger });
  const end = async () => {
    stop.abort();
    await recording;
  };
  cleanUps.push(end);
  return end;
}

const recorded = () => redis.client.hlen(keys.errors);
const untilRecorded = (count: number) =>
  waitFor(async () => (await recorded()) === count, `${count} records`);

it('a failure becomes a record with all its details', async () => {
  const { queue, ...rest } = await parts();
  record({ queue, ...rest });
  await queue.add('message', { text: 'x' });
  await handleAll(fail);
  await untilRecorded(1);
  const stored = JSON.parse((await redis.client.hget(keys.errors, '1'))!) as ErrorRecord;
  expect(stored).toEqual({
    id: '1',
    message: { text: 'x' },
    error: {
      name: 'TypeError',
      message: 'no {"text":"x"}',
      stack: expect.stringContaining('TypeError: no') as string,
    },
    attempts: 1,
    failedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
    instance: 'bare',
  });
});

it('6,000 messages that failed while no instance was alive, more than the event stream keeps, are recorded within 15 s', async () => {
  const { queue } = await parts();
  await addAll(queue, 1, 6000);
  await handleAll(fail);
  // The stream no longer has the first failures.
  const [[, fields]] = (await redis.client.xrange(keys.events, '-', '+', 'COUNT', 1)) as [[string, string[]]];
  expect(Number(fields[fields.indexOf('jobId') + 1])).toBeGreaterThan(1000);
  startInstance({ REDISURL: redis.url, TASK: resolve('__tests__/fixtures/idleTask.mjs') });
  await waitFor(async () => (await recorded()) === 6000, 'all records', 15_000);
});

it('a recorder continues where the previous one stopped, without a full scan', async () => {
  const first = await parts();
  const end = record(first);
  await addAll(first.queue, 1, 10);
  await handleAll(fail);
  await untilRecorded(10);
  await waitFor(async () => (await redis.client.hget(keys.recorder, 'position')) !== null, 'a position');
  await end();
  await addAll(first.queue, 11, 20);
  await handleAll(fail);
  // A full scan would restore this record.
  await redis.client.hdel(keys.errors, '3');
  let reconciled = false;
  first.errorLog.reconcile = () => Promise.resolve(void (reconciled = true));
  record(first);
  await waitFor(async () => (await redis.client.hexists(keys.errors, '20')) === 1, 'the last record');
  expect(await recorded()).toBe(19);
  expect(reconciled).toBe(false);
});

it('a missing record whose event was already read is written later', async () => {
  const all = await parts();
  record(all);
  await addAll(all.queue, 1, 5);
  await handleAll(fail);
  await untilRecorded(5);
  await redis.client.hdel(keys.errors, '2', '4');
  await untilRecorded(5);
});

it('an event stream that was deleted does not stop recording', async () => {
  const all = await parts();
  record(all);
  await addAll(all.queue, 1, 3);
  await handleAll(fail);
  await untilRecorded(3);
  await redis.client.del(keys.events);
  await addAll(all.queue, 4, 6);
  await handleAll(fail);
  await untilRecorded(6);
});

it('position and record are stored together: cut off at any instant, no failure is forgotten', async () => {
  // Few enough for the stream to keep all their events.
  const total = 2000;
  const all = await parts();
  await addAll(all.queue, 1, total);
  // The position alone must suffice: no later scan repairs anything.
  all.errorLog.reconcile = () => Promise.resolve();
  let end = record(all);
  const handling = handleAll(fail);
  let handled = false;
  void handling.then(() => (handled = true));
  // Many short-lived recorders, each cut off with some events unread, read or partly processed.
  while (!handled) {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
    await end();
    end = record(all);
  }
  await handling;
  await untilRecorded(total);
});

describe('a failure without a message', () => {
  it.each<[string, unknown, string]>([
    ['an error without a message', new RangeError(), 'RangeError'],
    ['an empty text', '', 'Error'],
    ['nothing', undefined, 'a value of type undefined was thrown'],
    ['an AggregateError without a message', new AggregateError([new Error('refused')]), 'AggregateError'],
  ])('is recorded: %s', async (_, thrown, message) => {
    const all = await parts();
    record(all);
    await addAll(all.queue, 1, 1);
    // BullMQ cannot store a value that is not an error, so an instance turns it into one.
    await handleAll(() => {
      throw thrown instanceof Error ? thrown : storableError(thrown);
    });
    await untilRecorded(1);
    const stored = parseErrorRecord((await redis.client.hget(keys.errors, '1'))!);
    expect(stored?.error.message).toBe(message);
  });
});

it('a failure of a message of a named source names the source, and its causes', async () => {
  const all = await parts();
  record(all);
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const error = new TypeError('fetch failed', { cause });
  await all.queue.add('eu-west', 1);
  // In the form that the worker of an instance writes.
  await redis.client.hset(keys.job('1'), ERROR_FIELD, errorDetails(error));
  await handleAll(() => {
    throw storableError(error);
  });
  await untilRecorded(1);
  const stored = parseErrorRecord((await redis.client.hget(keys.errors, '1'))!);
  expect(stored).toMatchObject({
    source: 'eu-west',
    error: { name: 'TypeError', cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' } },
  });
});

it('500 failures whose events were lost are recorded among 50,000 records written by hand', async () => {
  const all = await parts();
  const states: string[] = [];
  record({ ...all, onState: (state) => states.push(state) });
  await waitFor(() => states.includes('upToDate'), 'the recorder');
  for (let from = 0; from < 50_000; from += 5000) {
    const byHand = Array.from({ length: 5000 }, (_, index) => [`by hand ${from + index}`, '{}']).flat();
    await redis.client.hset(keys.errors, ...byHand);
  }
  const failing = redis.client.multi();
  for (let id = 1; id <= 500; id++) {
    failing.hset(keys.job(String(id)), 'finishedOn', '1700000000000', 'failedReason', 'lost');
    failing.zadd(keys.failed, 1_700_000_000_000, String(id));
  }
  await failing.exec();
  await untilRecorded(50_500);
});

describe('a recorder in its own thread', () => {
  const runThread = () => {
    const stop = new AbortController();
    let progressAt = -Infinity;
    const lines: string[] = [];
    const logger = silentLogger.child({});
    logger.warn = (text: unknown) => (lines.push(String(text)), logger);
    const running = runRecorderThread(
      { address: parseRedisUrl(redis.url), namespace: 'nic', logger },
      { signal: stop.signal, progress: () => (progressAt = performance.now()) },
    );
    const end = async () => {
      const startedAt = performance.now();
      stop.abort();
      await running;
      return performance.now() - startedAt;
    };
    cleanUps.push(end);
    const untilUpToDate = () => {
      const since = performance.now();
      return waitFor(() => progressAt > since, 'the recorder to be up to date');
    };
    return { end, lines, untilUpToDate };
  };

  /** Writes a failed job and its event as BullMQ does. */
  const failOne = async (id: string) => {
    await redis.client
      .multi()
      .hset(keys.job(id), 'name', 'message', 'data', '1', 'finishedOn', '1700000000000', 'failedReason', 'no')
      .zadd(keys.failed, 1_700_000_000_000, id)
      .xadd(keys.events, '*', 'event', 'failed', 'jobId', id, 'failedReason', 'no', 'prev', 'active')
      .exec();
  };
  const recordedWithin2s = (id: string) =>
    waitFor(async () => (await redis.client.hexists(keys.errors, id)) === 1, `the record of ${id}`, 2000);

  it.each<[string, number, (forMs: number) => Promise<unknown>]>([
    [
      'was away',
      3000,
      async (forMs) => {
        await redis.kill();
        await sleep(forMs);
        await redis.restart();
      },
    ],
    [
      'was stopped',
      2200,
      async (forMs) => {
        redis.process.kill('SIGSTOP');
        await sleep(forMs);
        redis.process.kill('SIGCONT');
      },
    ],
    [
      'was out of memory',
      1000,
      async (forMs) => {
        await redis.client.config('SET', 'maxmemory', '1');
        await sleep(forMs);
        await redis.client.config('SET', 'maxmemory', '0');
      },
    ],
    ['cut all connections', 0, () => redis.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')],
  ])('records failures within 2 s after Redis %s, and stops within 1 s', async (_, forMs, fault) => {
    const { end, untilUpToDate } = runThread();
    await untilUpToDate();
    await failOne('1');
    await recordedWithin2s('1');
    await fault(forMs);
    await failOne('2');
    await recordedWithin2s('2');
    await untilUpToDate();
    expect(await end()).toBeLessThan(1000);
  });

  it('stops within 1 s while Redis is paused', async () => {
    const { end, untilUpToDate } = runThread();
    await untilUpToDate();
    redis.process.kill('SIGSTOP');
    expect(await end()).toBeLessThan(1200);
    redis.process.kill('SIGCONT');
  });

  it('does not report lost events when none were lost', async () => {
    const { lines, untilUpToDate } = runThread();
    await untilUpToDate();
    const until = performance.now() + 1500;
    for (let id = 1; performance.now() < until; id++) await failOne(String(id));
    await untilUpToDate();
    expect(lines).toEqual([]);
  });
});

describe('a retry', () => {
  it('removes the record, and a later failure writes a new one', async () => {
    const all = await parts();
    record(all);
    await addAll(all.queue, 1, 2);
    await handleAll(fail);
    await untilRecorded(2);
    const before = await redis.client.hget(keys.errors, '1');

    expect(await retryErrors({ ...all, client: all.control, keys }, ['1', '2', '99'])).toEqual({
      retried: 2,
      unknown: ['99'],
    });
    expect(await recorded()).toBe(0);
    await handleAll((data) => (data === 1 ? fail(data) : undefined));
    await untilRecorded(1);
    expect(await redis.client.hget(keys.errors, '1')).not.toBe(before);
  });

  it('reports what it could not do while Redis refuses writes, and succeeds once Redis accepts them', async () => {
    const all = await parts();
    await addAll(all.queue, 1, 3);
    await handleAll(fail);
    await all.errorLog.sync(['1', '2', '3']);
    const source = { ...all, client: all.control, keys };
    // As during a failover.
    await redis.client.replicaof('127.0.0.1', '1');
    const { retried, unknown, failure } = await retryErrors(source, ['1', '2']);
    expect({ retried, unknown, left: failure?.left }).toEqual({ retried: 0, unknown: [], left: '1, 2' });
    const retrying = retryAllErrors(source);
    await sleep(300);
    await redis.client.replicaof('NO', 'ONE');
    expect(await retrying).toEqual({ retried: 3, unknown: [] });
    expect(await all.queue.getJobCounts('wait', 'failed')).toEqual({ wait: 3, failed: 0 });
    expect(await recorded()).toBe(0);
  });

  it('gives the message ATTEMPTS new attempts, numbered higher than all before', async () => {
    const all = await parts();
    await all.queue.add('message', 1, { attempts: 2 });
    const seen: number[] = [];
    const worker = new MessageWorker({
      connection: all.connection,
      keys,
      task: {
        handle(_, { attempt }) {
          seen.push(attempt);
          throw new Error('no');
        },
      },
      instance: 'one',
      config: {
        concurrency: 1,
        jobLockMs: 30_000,
        onStall: 'retry',
        keepCompleted: 1000,
        handleTimeoutMs: undefined,
      },
      logger: silentLogger,
    });
    cleanUps.push(() => worker.stop(0));
    worker.resume();
    const untilFailed = (tries: number) =>
      waitFor(
        async () => seen.length === tries && (await all.queue.getFailedCount()) === 1,
        `${tries} tries, then a failure`,
      );
    await untilFailed(2);
    const source = { ...all, client: all.control, keys };
    await retryErrors(source, ['1']);
    await untilFailed(4);
    await retryAllErrors(source);
    await untilFailed(6);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('of all messages retries every message that has failed so far, once each', async () => {
    const all = await parts();
    await addAll(all.queue, 1, 250);
    await handleAll(fail);
    const retrying = retryAllErrors({ ...all, client: all.control, keys });
    expect((await retrying).retried).toBe(250);
    expect(await all.queue.getJobCounts('wait', 'failed')).toEqual({ wait: 250, failed: 0 });
  });

  it('or a removal through BullMQ itself, as in Bull Board, also removes the record', async () => {
    const all = await parts();
    record(all);
    await addAll(all.queue, 1, 3);
    await handleAll(fail);
    await untilRecorded(3);
    await (await all.queue.getJob('1'))!.retry('failed');
    await (await all.queue.getJob('2'))!.remove();
    await untilRecorded(1);
    expect(await redis.client.hkeys(keys.errors)).toEqual(['3']);
  });

  it('that happened while no recorder was running is processed later', async () => {
    const all = await parts();
    await addAll(all.queue, 1, 3);
    await handleAll(fail);
    await all.errorLog.sync(['1', '2', '3']);
    await (await all.queue.getJob('2'))!.retry('failed');
    record(all);
    await untilRecorded(2);
  });
});

describe('clearing', () => {
  it('removes the record and the failed message, but nothing that has changed since it was read', async () => {
    const all = await parts();
    await addAll(all.queue, 1, 4);
    await handleAll(fail);
    await all.errorLog.reconcile(new AbortController().signal);
    const page = (await all.errorLog.pages().next()).value as StoredError[];
    expect(page.map(({ id }) => id).sort()).toEqual(['1', '2', '3', '4']);

    // 1 is being retried, 2 has failed again, 3 and 4 are unchanged.
    await (await all.queue.getJob('1'))!.retry('failed');
    await redis.client.hset(keys.errors, '2', '{"a":"newer record"}');
    await all.errorLog.clear(page);
    expect(await redis.client.hkeys(keys.errors)).toEqual(['2']);
    expect(await all.queue.getJobCounts('wait', 'failed')).toEqual({ wait: 1, failed: 1 });
    expect(await all.queue.getJob('3')).toBeUndefined();
    // Cleared errors do not come back.
    record(all);
    await waitFor(async () => (await redis.client.hget(keys.recorder, 'position')) !== null, 'a recorder');
    expect(await redis.client.hexists(keys.errors, '3')).toBe(0);
  });

  it('skips no error while they are printed page by page', async () => {
    const all = await parts();
    await addAll(all.queue, 1, 1234);
    await handleAll(fail);
    await all.errorLog.reconcile(new AbortController().signal);
    await redis.client.hset(keys.errors, 'gone', '{"id":"gone","failedAt":"2020-01-01T00:00:00.000Z"}');
    const seen: string[] = [];
    for await (const page of all.errorLog.pages()) {
      seen.push(...page.map(({ id }) => id));
      await all.errorLog.clear(page);
    }
    expect(new Set(seen).size).toBe(1235);
    expect(seen).toHaveLength(1235);
    expect(await recorded()).toBe(0);
  });
});

describe('a bulk removal, as in Bull Board', () => {
  it('removes the records of the removed jobs, and leaves those written by hand', async () => {
    const all = await parts();
    record(all);
    await addAll(all.queue, 1, 4);
    await handleAll((data) => (data === 4 ? undefined : fail(data)));
    await untilRecorded(3);
    // No job ever had these ids.
    await redis.client.hset(
      keys.errors,
      'by-hand',
      '{"id":"by-hand"}',
      '99',
      '{"id":"99"}',
      '007',
      '{"id":"007"}',
    );
    await all.queue.clean(0, 2, 'failed');
    await waitFor(async () => (await recorded()) === 4, 'two records to go');
    const left = await redis.client.hkeys(keys.errors);
    expect(left).toEqual(expect.arrayContaining(['by-hand', '99', '007']));
    expect(await all.queue.getJobCounts('failed')).toEqual({ failed: 1 });
  });

  it('is completed by the next leader if the one that heard of it was cut off', async () => {
    const all = await parts();
    let end = record(all);
    await addAll(all.queue, 1, 3);
    await handleAll(fail);
    await untilRecorded(3);
    all.errorLog.pruneRemoved = () => Promise.reject(new Error('cut off'));
    await all.queue.clean(0, 0, 'failed');
    await addAll(all.queue, 4, 4);
    await handleAll(fail);
    await end();
    expect(await recorded()).toBe(3);
    delete (all.errorLog as Partial<ErrorLog>).pruneRemoved;
    end = record(all);
    await waitFor(async () => String(await redis.client.hkeys(keys.errors)) === '4', 'the removed to go');
    await end();
  });
});
