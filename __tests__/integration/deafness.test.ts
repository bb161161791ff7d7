import { Redis } from 'ioredis';
import { keysOf } from '../../src/keys';
import { watchForDeafness } from '../../src/handling/workerWatchdog';
import { JOB_NAME, openQueue } from '../../src/redis/queue';
import { MessageWorker } from '../../src/handling/worker';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { silentLogger as logger } from '../helpers/silentLogger';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
const config = { concurrency: 1, jobLockMs: 30_000, onStall: 'retry' as const };

let redis: RedisServer;
let connection: Redis;
const ending = new AbortController();

beforeAll(async () => {
  redis = await startRedis();
  connection = new Redis(redis.url, { maxRetriesPerRequest: null });
});

afterAll(async () => {
  ending.abort();
  connection.disconnect();
  await redis.stop();
});

it('a worker whose waiting connection has died in silence is built anew, and handles what waits', async () => {
  const handled: unknown[] = [];
  let waiting: Redis | undefined;
  const duplicate = connection.duplicate.bind(connection);
  connection.duplicate = (options) => (waiting = duplicate(options));
  const worker = new MessageWorker({
    connection,
    keys,
    task: { handle: (message) => void handled.push(message) },
    instance: 'a',
    config,
    logger,
  });
  const deaf = waiting!;
  connection.duplicate = duplicate;
  // Asked for a message it never answers; what is done about that has no effect.
  deaf.bzpopmin = () => new Promise<never>(() => undefined);
  deaf.disconnect = () => undefined;
  worker.resume();
  await waitFor(() => worker.isIdle, 'an idle worker');

  const queue = openQueue(connection, keys);
  const watching = watchForDeafness({
    client: redis.client,
    queue,
    keys,
    worker,
    signal: ending.signal,
    logger,
    lookMs: 100,
  });
  await queue.pause();
  await queue.add(JOB_NAME, 1);
  // Nobody is meant to take it.
  const rebuild = jest.spyOn(worker, 'rebuild');
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(rebuild).not.toHaveBeenCalled();

  await queue.resume();
  await waitFor(() => handled.length === 1, 'the message to be handled');
  expect(rebuild).toHaveBeenCalledTimes(1);
  expect(worker.taken).toBe(1);
  ending.abort();
  await watching;
  await worker.stop(1000);
  Redis.prototype.disconnect.call(deaf);
});
