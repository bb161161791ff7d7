import { keysOf } from '../../src/keys';
import { recordSamples, parseSamples } from '../../src/group/samples';
import { openQueue } from '../../src/redis/queue';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;
let stop: AbortController;

beforeAll(async () => {
  redis = await startRedis();
});

beforeEach(async () => {
  await redis.client.flushall();
  stop = new AbortController();
});

afterEach(() => stop.abort());
afterAll(() => redis.stop());

const record = () =>
  recordSamples({ client: redis.client, keys }, { signal: stop.signal, progress: () => undefined });
const stored = () => redis.client.lrange(keys.history, 0, -1);

it('a sample has the state of the queue at one instant', async () => {
  const queue = openQueue(redis.client, keys);
  await queue.addBulk([1, 2, 3].map((data) => ({ name: 'message', data })));
  await queue.add('message', 4, { delay: 60_000 });
  // Seven more were handled, two of them failed, and one of the failed ones was cleared.
  await redis.client.incrby(keys.jobCounter, 7);
  await redis.client.zadd(keys.failed, 1, '5');
  await redis.client.hset(keys.recorder, 'cleared', 1);
  void record();
  await waitFor(async () => (await stored()).length === 1, 'a sample');
  const [[at, ...figures]] = parseSamples(await stored()) as unknown as [number[]];
  expect(figures).toEqual([3, 0, 1, 5, 2, 11]);
  const [seconds] = await redis.client.time();
  expect(Math.abs(at! - Number(seconds) * 1000)).toBeLessThan(5000);
});

it('two concurrent leaders, one of them stale, do not take a sample twice', async () => {
  void record();
  await waitFor(async () => (await stored()).length === 1, 'a sample');
  void record();
  void record();
  await redis.client.ping();
  expect(await stored()).toHaveLength(1);
});

it('keeps fifteen minutes, and continues after the clock of Redis was set back', async () => {
  const ahead = Date.now() + 3_600_000;
  await redis.client.rpush(
    keys.history,
    ...Array.from({ length: 180 }, (_, index) => JSON.stringify([ahead + index * 5000, 0, 0, 0, 0, 0, 0])),
  );
  void record();
  await waitFor(async () => parseSamples(await stored()).at(-1)![0] < ahead, 'a sample');
  expect(await stored()).toHaveLength(180);
});

it('an invalid sample is skipped and does no harm', async () => {
  await redis.client.rpush(
    keys.history,
    'nonsense',
    '{}',
    'null',
    '[1,2]',
    '["1",0,0,0,0,0,0]',
    '[1,2,3,4,5,6,7]',
  );
  expect(parseSamples(await stored())).toEqual([[1, 2, 3, 4, 5, 6, 7]]);
  await redis.client.del(keys.history);
  await redis.client.set(keys.history, 'of another type');
  await expect(record()).rejects.toThrow('WRONGTYPE');
});
