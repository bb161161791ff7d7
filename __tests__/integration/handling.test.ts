import { createContext, runInContext } from 'node:vm';
import { UnrecoverableError } from 'bullmq';
import { Redis } from 'ioredis';
import { MessageWorker } from '../../src/handling/worker';
import { JOB_NAME, keysOf } from '../../src/keys';
import type { Logger } from '../../src/logging/logger';
import { jobOptions, openQueue } from '../../src/redis/queue';
import type { HandleContext } from '../../src/tasks/task';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;
let connection: Redis;
let worker: MessageWorker | undefined;
const lines: { text: string; fields: object | undefined }[] = [];
const log = (text: string, fields?: object) => void lines.push({ text, fields });
const logger: Logger = { error: log, warn: log, info: log, debug: log, child: () => logger };

beforeAll(async () => {
  redis = await startRedis();
  connection = new Redis(redis.url, { maxRetriesPerRequest: null, disconnectTimeout: 100 });
});

afterEach(async () => {
  await worker?.stop(0);
  await redis.client.flushall();
  lines.length = 0;
});

afterAll(async () => {
  connection.disconnect();
  await redis.stop();
});

function handleWith(
  handle: (message: unknown, context: HandleContext) => unknown,
  config: { handleTimeoutMs?: number; keepCompleted?: number } = {},
) {
  worker = new MessageWorker({
    connection,
    keys,
    task: { handle },
    instance: 'a',
    config: {
      concurrency: 1,
      jobLockMs: 30_000,
      onStall: 'retry',
      keepCompleted: 1000,
      handleTimeoutMs: undefined,
      ...config,
    },
    logger,
  });
  worker.resume();
  const queue = openQueue(redis.client, keys);
  const add = (data: unknown, attempts = 1) =>
    queue.add(JOB_NAME, data, jobOptions({ attempts, backoffMs: 1 }));
  return { worker, queue, add };
}

it('HANDLE_TIMEOUT_MS fails a message whose handler never ends, and frees its slot', async () => {
  const signals: AbortSignal[] = [];
  let fail: (error: Error) => void = () => undefined;
  const { worker, queue, add } = handleWith(
    (message, { signal }) => {
      signals.push(signal);
      return message === 'hangs' ? new Promise((_, reject) => (fail = reject)) : undefined;
    },
    { handleTimeoutMs: 100 },
  );
  await add('hangs');
  await add('ends');
  await waitFor(() => worker.counts.handled === 1, 'the next message');
  const [failed] = await queue.getFailed();
  expect(failed).toMatchObject({
    failedReason: 'the handler did not finish within 100 ms (HANDLE_TIMEOUT_MS)',
  });
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  expect(signals[0]!.reason).toMatchObject({ name: 'AbortError' });

  fail(new Error('too late'));
  await waitFor(
    () => lines.some(({ text }) => text === 'ignored the outcome of a handler that had timed out'),
    'the line in the log',
  );
  expect(worker.counts).toEqual({ handled: 1, failed: 1 });
});

it.each<[string, () => Error]>([
  ['retryable: false', () => Object.assign(new RangeError('no'), { retryable: false })],
  ["BullMQ's UnrecoverableError", () => new UnrecoverableError('no')],
  ['an error of that name', () => Object.assign(new Error('no'), { name: 'UnrecoverableError' })],
  [
    'an error of another realm',
    () => runInContext("Object.assign(new Error('no'), { retryable: false })", createContext()) as Error,
  ],
])('%s uses no further attempts', async (_, error) => {
  const { worker, queue, add } = handleWith(() => {
    throw error();
  });
  await add(1, 5);
  await waitFor(() => worker.counts.failed === 1, 'the failure');
  const [failed] = await queue.getFailed();
  expect(failed).toMatchObject({ attemptsMade: 1, failedReason: 'no' });
});

it('a failed message keeps the stacks of its last five attempts and the details of the last', async () => {
  const { worker, queue, add } = handleWith((_, { attempt }) => {
    throw new Error(`attempt ${attempt}`);
  });
  await add(1, 8);
  await waitFor(() => worker.counts.failed === 1, 'the failure');
  const [failed] = await queue.getFailed();
  expect(failed!.stacktrace).toHaveLength(5);
  expect(failed!.stacktrace![4]).toContain('attempt 8');
  expect(JSON.parse((await redis.client.hget(keys.job('1'), 'error'))!)).toMatchObject({
    message: 'attempt 8',
  });
});

it('an outcome whose answer was lost is neither a failure nor a lost lock, even if the job is not kept', async () => {
  for (const keepCompleted of [1000, 0]) {
    let finish: () => void = () => undefined;
    const { worker: own, add } = handleWith(() => new Promise<void>((resolve) => (finish = resolve)), {
      keepCompleted,
    });
    await add(1);
    await waitFor(() => own.activeCount === 1, 'an active message');
    // The socket is cut after Redis has stored the outcome and before the answer arrives: ioredis sends the
    // command again, and the script finds no lock.
    const { stream } = connection;
    stream.pause();
    finish();
    const completions = () => redis.client.xrange(keys.events, '-', '+').then((all) => JSON.stringify(all));
    await waitFor(async () => (await completions()).includes('"completed"'), 'the completion');
    stream.destroy();
    await waitFor(() => own.activeCount === 0, 'the end');
    await waitFor(() => own.counts.handled === 1, 'the count');
    expect(own.counts.failed).toBe(0);
    expect(lines.filter(({ text }) => text.includes('lock'))).toEqual([]);
    await own.stop(0);
    await redis.client.flushall();
  }
});

it('stop() abandons a handler that never ends', async () => {
  const { worker, add } = handleWith(() => new Promise(() => undefined));
  await add(1);
  await waitFor(() => worker.activeCount === 1, 'an active message');
  const startedAt = performance.now();
  await worker.stop(50);
  expect(performance.now() - startedAt).toBeLessThan(2000);
  expect(worker.activeCount).toBe(1);
});
