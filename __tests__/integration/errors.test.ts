import type { Queue } from 'bullmq';
import { Worker } from 'bullmq';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { MessageWorker } from '../../src/handling/worker';
import { keysOf } from '../../src/keys';
import { ErrorLog } from '../../src/errorLog/errorLog';
import type { StoredError } from '../../src/errorLog/pages';
import { recordErrors } from '../../src/errorLog/recorder';
import type { ErrorRecord } from '../../src/errorLog/record';
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

/** A queue, its log, and a BullMQ worker that fails every message with an error of the given class. */
async function parts() {
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.lease });
  const [control, connection] = await Promise.all([connector.connect('control'), connector.connect('queue')]);
  cleanUps.push(
    () => control.disconnect(),
    () => connection.disconnect(),
  );
  const queue = openQueue(connection, keys);
  return { control, connection, queue, errorLog: new ErrorLog(control, queue, keys) };
}

/** Lets a bare BullMQ worker handle all that waits. */
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

function record(options: Awaited<ReturnType<typeof parts>>) {
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

it('a failure becomes a record with everything that is known of it', async () => {
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

it('6,000 messages that failed while no instance was alive, more than the event stream remembers, are recorded within 15 s', async () => {
  const { queue } = await parts();
  await addAll(queue, 1, 6000);
  await handleAll(fail);
  // The first failures have left the stream.
  const [[, fields]] = (await redis.client.xrange(keys.events, '-', '+', 'COUNT', 1)) as [[string, string[]]];
  expect(Number(fields[fields.indexOf('jobId') + 1])).toBeGreaterThan(1000);
  startInstance({ REDISURL: redis.url, TASK: resolve('__tests__/fixtures/idleTask.mjs') });
  await waitFor(async () => (await recorded()) === 6000, 'all records', 15_000);
});

it('a recorder goes on where the last one stood, without looking at everything again', async () => {
  const first = await parts();
  const end = record(first);
  await addAll(first.queue, 1, 10);
  await handleAll(fail);
  await untilRecorded(10);
  await waitFor(async () => (await redis.client.hget(keys.recorder, 'position')) !== null, 'a position');
  await end();
  await addAll(first.queue, 11, 20);
  await handleAll(fail);
  // Were it to look at everything, this one would come back.
  await redis.client.hdel(keys.errors, '3');
  let reconciled = false;
  first.errorLog.reconcile = () => Promise.resolve(void (reconciled = true));
  record(first);
  await waitFor(async () => (await redis.client.hexists(keys.errors, '20')) === 1, 'the last record');
  expect(await recorded()).toBe(19);
  expect(reconciled).toBe(false);
});

it('a record that went missing although its event was read is made up for', async () => {
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
  // Few enough that the stream forgets none of their events.
  const total = 2000;
  const all = await parts();
  await addAll(all.queue, 1, total);
  // The position alone must do: nothing is made up for afterwards.
  all.errorLog.reconcile = () => Promise.resolve();
  let end = record(all);
  const handling = handleAll(fail);
  let handled = false;
  void handling.then(() => (handled = true));
  // Many short lives of recorders, each cut off with events unread, read and half dealt with.
  while (!handled) {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
    await end();
    end = record(all);
  }
  await handling;
  await untilRecorded(total);
});

describe('a retry', () => {
  it('takes the record away, and a failure after it writes a new one', async () => {
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

  it('gives the message ATTEMPTS tries anew, and attempts that are higher than all before', async () => {
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
      config: { concurrency: 1, jobLockMs: 30_000, onStall: 'retry' },
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

  it('of all takes those that have failed until now, once each', async () => {
    const all = await parts();
    await addAll(all.queue, 1, 250);
    await handleAll(fail);
    const retrying = retryAllErrors({ ...all, client: all.control, keys });
    expect((await retrying).retried).toBe(250);
    expect(await all.queue.getJobCounts('wait', 'failed')).toEqual({ wait: 250, failed: 0 });
  });

  it('through BullMQ itself, as Bull Board does it, takes the record away too, and so does a removal', async () => {
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

  it('that happened while nobody recorded is made up for as well', async () => {
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
  it('removes record and failed message, and nothing that changed since it was read', async () => {
    const all = await parts();
    await addAll(all.queue, 1, 4);
    await handleAll(fail);
    await all.errorLog.reconcile(new AbortController().signal);
    const page = (await all.errorLog.pages().next()).value as StoredError[];
    expect(page.map(({ id }) => id).sort()).toEqual(['1', '2', '3', '4']);

    // 1 is being retried, 2 has failed anew, 3 and 4 are as they were.
    await (await all.queue.getJob('1'))!.retry('failed');
    await redis.client.hset(keys.errors, '2', '{"a":"newer record"}');
    await all.errorLog.clear(page);
    expect(await redis.client.hkeys(keys.errors)).toEqual(['2']);
    expect(await all.queue.getJobCounts('wait', 'failed')).toEqual({ wait: 1, failed: 1 });
    expect(await all.queue.getJob('3')).toBeUndefined();
    // What was cleared does not come back.
    record(all);
    await waitFor(async () => (await redis.client.hget(keys.recorder, 'position')) !== null, 'a recorder');
    expect(await redis.client.hexists(keys.errors, '3')).toBe(0);
  });

  it('while printing page by page leaves none out', async () => {
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

describe('a removal of many at a time, as Bull Board does it', () => {
  it('takes the records of what was removed away, and leaves those put there by hand', async () => {
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

  it('is made up for by the next leader if the one that heard of it was cut off', async () => {
    const all = await parts();
    let end = record(all);
    await addAll(all.queue, 1, 3);
    await handleAll(fail);
    await untilRecorded(3);
    all.errorLog.forgetRemoved = () => Promise.reject(new Error('cut off'));
    await all.queue.clean(0, 0, 'failed');
    await addAll(all.queue, 4, 4);
    await handleAll(fail);
    await end();
    expect(await recorded()).toBe(3);
    delete (all.errorLog as Partial<ErrorLog>).forgetRemoved;
    end = record(all);
    await waitFor(async () => String(await redis.client.hkeys(keys.errors)) === '4', 'the removed to go');
    await end();
  });
});
