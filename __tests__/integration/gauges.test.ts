import { keysOf } from '../../src/keys';
import { toGauges } from '../../src/group/gauges';
import { readGroup } from '../../src/group/read';
import { LeaseNodes } from '../../src/leadership/lease';
import { Metrics } from '../../src/web/metrics';
import { Scrape } from '../helpers/probes';
import { type RedisServer, startRedis } from '../helpers/redisServer';

const keys = keysOf('nic');
const stats = () => ({
  ...{ leads: false, keeper: false, overdue: false, sourcesLed: 0 },
  ...{ active: 0, slow: 0, oldestActiveMs: 0, activities: [] },
});

let redis: RedisServer;

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(() => redis.stop());

const gauges = async () => {
  const leases = new LeaseNodes({ nodes: [redis.client], ttlMs: 5000 });
  return toGauges(await readGroup({ client: redis.client, keys, namespace: 'nic', leases }));
};

it('the gauges count what Redis holds for the group', async () => {
  await redis.client
    .multi()
    .rpush(keys.waiting, 1, 2, 3)
    .rpush(keys.active, 4, 5)
    .zadd(keys.delayed, 0, '6')
    .hset(keys.errors, '7', '{}')
    .hset(keys.source().cursor, 'generated', 7)
    .hset(keys.source().leader, { instance: 'a', term: 9, since: 'then' })
    .exec();
  expect(await gauges()).toEqual({
    ...{ waiting: 3, active: 2, delayed: 1, errors: 1 },
    paused: { generating: false, handling: false },
    sources: [{ source: '', generated: 7, term: 9, state: 'vacant' }],
  });
});

it('all gauges are zero for a group that never ran', async () => {
  expect(await gauges()).toMatchObject({
    ...{ waiting: 0, active: 0, delayed: 0, errors: 0 },
    sources: [{ source: '', generated: 0, term: 0 }],
  });
});

it.each(['-5', 'many', 'Infinity', ''])('an invalid count of %j in Redis does no harm', async (count) => {
  await redis.client
    .multi()
    .hset(keys.source().cursor, 'generated', count)
    .hset(keys.source().leader, 'term', count)
    .exec();
  const scrape = new Scrape(await new Metrics('nic').text(stats, gauges));
  expect(scrape.value('nic_redis_up')).toBe(1);
  expect(scrape.value('nic_leader')).toBe(0);
});

it('a key of another type leaves out only the gauges that come from Redis', async () => {
  await redis.client.set(keys.errors, 'not a hash');
  const scrape = new Scrape(await new Metrics('nic').text(stats, gauges));
  expect(scrape.value('nic_redis_up')).toBe(0);
  expect(scrape.value('nic_errors')).toBeUndefined();
  expect(scrape.value('nic_messages_total', { outcome: 'failed' })).toBe(0);
});

it('a gauge is not repeated when its value is no longer known', async () => {
  const metrics = new Metrics('nic');
  expect(new Scrape(await metrics.text(stats, gauges)).value('nic_generated_total')).toBe(0);
  const text = await metrics.text(stats, () => Promise.reject(new Error('away')));
  expect(text).not.toMatch(/^nic_(backlog_messages|errors|generated_total|term)\{/m);
  expect(new Scrape(await metrics.text(stats, gauges)).value('nic_generated_total')).toBe(0);
});

it('concurrent scrapes share one read', async () => {
  const metrics = new Metrics('nic');
  let looks = 0;
  const counted = () => {
    looks++;
    return gauges();
  };
  const texts = await Promise.all(Array.from({ length: 50 }, () => metrics.text(stats, counted)));
  expect(looks).toBe(1);
  expect(new Set(texts).size).toBe(1);
});
