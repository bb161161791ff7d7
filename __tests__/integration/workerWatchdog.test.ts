import { Redis } from 'ioredis';
import { JOB_NAME, keysOf } from '../../src/keys';
import { workerWatchdog } from '../../src/handling/workerWatchdog';
import { openQueue } from '../../src/redis/queue';
import { MessageWorker } from '../../src/handling/worker';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { silentLogger as logger } from '../helpers/silentLogger';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
const config = {
  concurrency: 1,
  jobLockMs: 30_000,
  onStall: 'retry' as const,
  keepCompleted: 1000,
  handleTimeoutMs: undefined,
};

let redis: RedisServer;
let connection: Redis;

beforeAll(async () => {
  redis = await startRedis();
  connection = new Redis(redis.url, { maxRetriesPerRequest: null, disconnectTimeout: 100 });
});

afterAll(async () => {
  connection.disconnect();
  await redis.stop();
});

/** Returns a worker whose blocking connection never answers, and the messages that it has handled. */
async function stalledWorker() {
  const handled: unknown[] = [];
  let blocking: Redis | undefined;
  const duplicate = connection.duplicate.bind(connection);
  connection.duplicate = (options) => (blocking = duplicate(options));
  const worker = new MessageWorker({
    connection,
    keys,
    task: { handle: (message) => void handled.push(message) },
    instance: 'a',
    config,
    logger,
  });
  const stalled = blocking!;
  connection.duplicate = duplicate;
  let wake: (answer: [string, string, string]) => void = () => undefined;
  stalled.bzpopmin = () => new Promise((resolve) => (wake = resolve));
  // Neither BullMQ's own watchdog (after five seconds) nor closing the connection has an effect.
  stalled.disconnect = () => undefined;
  worker.resume();
  await waitFor(() => worker.isIdle, 'an idle worker');
  const close = async () => {
    await worker.stop(1000);
    Redis.prototype.disconnect.call(stalled);
  };
  return { worker, handled, close, comeBack: () => wake(['{nic}:messages:marker', '0', '0']) };
}

/** Watches the worker until `stop` is called. */
function watch(worker: MessageWorker, client = redis.client) {
  const ending = new AbortController();
  let checks = 0;
  const progress = () => void checks++;
  const watchdog = workerWatchdog({ client, keys, worker, logger, checkIntervalMs: 100 });
  const watching = watchdog({ signal: ending.signal, progress });
  const stop = () => {
    ending.abort();
    return watching;
  };
  return { stop, checks: () => checks };
}

it('a worker whose blocking connection has silently died is restarted and handles the waiting messages', async () => {
  const { worker, handled, close } = await stalledWorker();
  const queue = openQueue(connection, keys);
  const watching = watch(worker);
  await queue.pause();
  await queue.add(JOB_NAME, 1);
  const restart = jest.spyOn(worker, 'restart');
  await waitFor(() => watching.checks() > 5, 'some checks');
  expect(restart).not.toHaveBeenCalled();

  await queue.resume();
  await waitFor(() => handled.length === 1, 'the message to be handled');
  expect(restart).toHaveBeenCalledTimes(1);
  expect(worker.taken).toBe(1);
  await watching.stop();
  await close();
});

it('a worker that recovers while Redis is being queried is not restarted', async () => {
  const { worker, handled, close, comeBack } = await stalledWorker();
  await openQueue(connection, keys).add(JOB_NAME, 2);
  let asked = 0;
  // The third answer, which decides, arrives after the worker has taken the message.
  const client = {
    llen: async () => {
      if (++asked === 3) {
        comeBack();
        await waitFor(() => handled.length === 1, 'the message to be handled');
      }
      return 1;
    },
    hexists: () => Promise.resolve(0),
  } as unknown as Redis;
  const restart = jest.spyOn(worker, 'restart');
  const watching = watch(worker, client);
  await waitFor(() => asked > 4, 'further checks');
  expect(restart).not.toHaveBeenCalled();
  await watching.stop();
  await close();
});
