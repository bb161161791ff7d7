import { readFileSync } from 'node:fs';
import type { Queue } from 'bullmq';
import { createRedisBackend, Job, QueueEvents, UnrecoverableError, WaitingError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { keysOf, QUEUE_NAME } from '../../src/keys';
import { openQueue } from '../../src/redis/queue';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

/*
 * Lists every internal of BullMQ that this program relies on, with a test for each. BullMQ guarantees none of them,
 * so package.json pins its minor version. Raise the pin when all of these tests pass; read the failing ones first.
 *
 *   a job is added by one script that can run inside a MULTI     generating/committer.ts
 *   ids are the values of a counter, one after the other         generating/committer.ts, errorLog/
 *   the keys of a queue, and what is in them                     keys.ts, group/, errorLog/, membership/
 *   the fields of a job's hash                                   errorLog/record.ts, handling/redelivery.ts
 *   the name and the order of the fields of events               errorLog/eventFilter.ts
 *   a lock's token is enough to move somebody else's job         handling/redelivery.ts
 *   the methods of a backend, which are wrapped                  errorLog/eventFilter.ts, handling/
 *   a worker leaves a job alone after a WaitingError             handling/worker.ts
 */

const keys = keysOf('internals');
let redis: RedisServer;
let client: Redis;
let queue: Queue;

beforeAll(async () => {
  redis = await startRedis();
  client = new Redis(redis.port, { maxRetriesPerRequest: null });
});

beforeEach(async () => {
  await client.flushall();
  queue = openQueue(client, keys);
});

afterEach(() => queue.close());

afterAll(async () => {
  client.disconnect();
  await redis.stop();
});

/** A worker that handles one message at a time and has no loop of its own. */
function openWorker(): Worker {
  const worker = new Worker(QUEUE_NAME, null, {
    connection: client,
    prefix: keys.queuePrefix,
    name: 'me',
    metrics: { maxDataPoints: 10 },
  });
  worker.on('error', () => undefined);
  return worker;
}

async function add(...messages: unknown[]): Promise<void> {
  for (const data of messages) await queue.add('message', data, { removeOnFail: false, stackTraceLimit: 5 });
}

const eventsOf = async () => (await client.xrange(keys.events, '-', '+')).map(([, fields]) => fields);

it('the minor version is pinned', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    dependencies: Record<string, string>;
  };
  expect(dependencies['bullmq']).toMatch(/^~\d+\.\d+\.\d+$/);
  const { version } = JSON.parse(readFileSync('node_modules/bullmq/package.json', 'utf8')) as {
    version: string;
  };
  expect(version.split('.').slice(0, 2)).toEqual(dependencies['bullmq']!.slice(1).split('.').slice(0, 2));
});

it('jobs are added inside a MULTI, each with the next value of the counter as its id', async () => {
  const bull = await queue.getBackend().client;
  expect(await client.get(keys.jobCounter)).toBeNull();
  const queued: Promise<unknown>[] = [client.multi({ pipeline: false })];
  for (const number of [1, 2, 3]) queued.push(new Job(queue, 'message', { number }, {}).addJob(bull));
  const executing = client.exec();
  const replies = await Promise.all(queued);
  expect(replies.slice(1)).toEqual(['QUEUED', 'QUEUED', 'QUEUED']);
  const results = await executing;
  expect(results!.map(([error, id]) => error ?? id)).toEqual(['1', '2', '3']);
  expect(await client.get(keys.jobCounter)).toBe('3');
  // The right end of the list is handled first.
  expect(await client.lrange(keys.waiting, 0, -1)).toEqual(['3', '2', '1']);
  expect(await client.hget(keys.job('2'), 'data')).toBe('{"number":2}');
});

it('the hash of an active job has its handler, start and attempt, and its lock has its token', async () => {
  await add({ n: 1 });
  const worker = openWorker();
  const job = await worker.getNextJob('token');
  expect(await client.lrange(keys.active, 0, -1)).toEqual(['1']);
  expect(await client.get(keys.lock('1'))).toBe('token');
  expect(await client.hgetall(keys.job('1'))).toMatchObject({
    name: 'message',
    pb: 'me',
    ats: '1',
    processedOn: expect.stringMatching(/^\d{13}$/) as string,
  });
  expect([job.processedBy, job.attemptsStarted]).toEqual(['me', 1]);
  await job.moveToCompleted('', 'token', false);
  expect(await client.exists(keys.lock('1'))).toBe(0);
  await worker.close();
});

it('a failed job is in the failed set, scored by its time, with reason, stack and attempts in its hash', async () => {
  await add({ n: 1 });
  const worker = openWorker();
  const job = await worker.getNextJob('token');
  await job.moveToFailed(new Error('broken'), 'token', false);
  const finishedOn = await client.hget(keys.job('1'), 'finishedOn');
  expect(await client.zrange(keys.failed, 0, '-1', 'WITHSCORES')).toEqual(['1', finishedOn]);
  const hash = await client.hgetall(keys.job('1'));
  expect(hash).toMatchObject({ failedReason: 'broken', atm: '1', data: '{"n":1}' });
  expect(JSON.parse(hash['stacktrace']!)).toEqual([expect.stringMatching(/^Error: broken\n\s+at /)]);
  await worker.close();
});

it('events have their name as their second field, and a failed event has the previous state', async () => {
  await add({ n: 1 });
  const worker = openWorker();
  const job = await worker.getNextJob('token');
  await job.moveToFailed(new Error('broken'), 'token', false);
  const failed = (await eventsOf()).find(([, name]) => name === 'failed')!;
  expect(failed.slice(0, 4)).toEqual(['event', 'failed', 'jobId', '1']);

  await ((await queue.getJob('1')) as Job).retry('failed');
  expect((await eventsOf()).at(-1)).toEqual(['event', 'waiting', 'jobId', '1', 'prev', 'failed']);
  expect(await client.zscore(keys.failed, '1')).toBeNull();

  await queue.remove('1');
  const removed = (await eventsOf()).at(-1)!;
  expect(removed.slice(0, 4)).toEqual(['event', 'removed', 'jobId', '1']);
  await worker.close();
});

it('a retry with both options resets the attempts to zero', async () => {
  await add({ n: 1 });
  const worker = openWorker();
  const job = await worker.getNextJob('token');
  await job.moveToFailed(new Error('broken'), 'token', false);
  const found = (await queue.getJob('1')) as Job;
  await found.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true });
  const again = (await queue.getJob('1')) as Job;
  expect([again.attemptsMade, again.attemptsStarted]).toEqual([0, 0]);
  await worker.close();
});

it('the token of a lock is enough to requeue or fail a job that another worker holds', async () => {
  await add({ n: 1 }, { n: 2 });
  const worker = openWorker();
  for (const token of ['one', 'two']) await worker.getNextJob(token);
  const [first, second] = [(await queue.getJob('1')) as Job, (await queue.getJob('2')) as Job];
  await expect(first.moveToWait('wrong')).rejects.toThrow();
  await first.moveToWait('one');
  expect(await client.lrange(keys.waiting, 0, -1)).toEqual(['1']);
  await second.moveToFailed(new UnrecoverableError('gone'), 'two');
  expect(await client.zrange(keys.failed, 0, '-1')).toEqual(['2']);
  await worker.close();
});

it('a worker does not move a job after a WaitingError', async () => {
  await add({ n: 1 });
  let taken = 0;
  const worker = new Worker(
    QUEUE_NAME,
    async (job, token) => {
      taken++;
      await worker.pause(true);
      await job.moveToWait(token);
      throw new WaitingError();
    },
    { connection: client, prefix: keys.queuePrefix, autorun: true },
  );
  worker.on('error', () => undefined);
  await waitFor(async () => taken === 1 && (await client.llen(keys.waiting)) === 1, 'the job to wait again');
  expect(await client.zcard(keys.failed)).toBe(0);
  await worker.close();
});

it('a backend has the wrapped methods, with the parameters that are passed on', () => {
  const backend = queue.getBackend() as unknown as Record<string, (...args: unknown[]) => unknown>;
  const parameters = Object.fromEntries(
    [
      ...['moveToActive', 'moveToCompleted', 'moveToFailed', 'moveToDelayed', 'moveJobFromActiveToWait'],
      ...['extendLocks', 'readEvents'],
    ].map((name) => [name, backend[name]?.length]),
  );
  expect(parameters).toEqual({
    moveToActive: 2,
    moveToCompleted: 5,
    moveToFailed: 6,
    moveToDelayed: 3,
    moveJobFromActiveToWait: 1,
    extendLocks: 3,
    readEvents: 2,
  });
});

it('QueueEvents reads through the backend that it is given', async () => {
  let reads = 0;
  const events = new QueueEvents(
    QUEUE_NAME,
    { connection: { port: redis.port }, prefix: keys.queuePrefix, lastEventId: '0' },
    (name, opts, options) => {
      const backend = createRedisBackend(name, opts, options);
      const read = backend.readEvents.bind(backend);
      backend.readEvents = (...args) => {
        reads++;
        return read(...args);
      };
      return backend;
    },
  );
  events.on('error', () => undefined);
  const seen = new Promise<string>((resolve) => events.on('waiting', ({ jobId }) => resolve(jobId)));
  await add({ n: 1 });
  expect(await seen).toBe('1');
  expect(reads).toBeGreaterThan(0);
  await events.close();
});
