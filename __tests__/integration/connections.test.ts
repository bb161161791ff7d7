import type { Redis } from 'ioredis';
import { startProxy } from '../../testkit/proxy.cjs';
import { keysOf } from '../../src/keys';
import type { Logger } from '../../src/logging/logger';
import { parseRedisUrl } from '../../src/redis/address';
import { openConnections } from '../../src/redis/connections';
import { RedisConnector } from '../../src/redis/connector';
import { SETTINGS } from '../../src/redis/roles';
import { Releases } from '../../src/supervision/releases';
import { silentLogger } from '../helpers/silentLogger';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;
let stopped: AbortController;
let releases: Releases;

beforeEach(async () => {
  redis = await startRedis();
  stopped = new AbortController();
  releases = new Releases(silentLogger);
});

afterEach(async () => {
  stopped.abort();
  await releases.releaseAll();
  await redis.stop();
});

const open = (url: string, logger: Logger = silentLogger) =>
  openConnections({
    ...{ address: parseRedisUrl(url), keys, instance: 'a', leaseAddresses: undefined, leaseTimeoutMs: 1250 },
    ...{ releases, stopped: stopped.signal, logger },
  });

const event = (client: Redis, name: string) =>
  new Promise<void>((resolve) => void client.once(name, resolve));

it('a stalled connection of any role is replaced, or closed if it must not reconnect', async () => {
  const proxy = await startProxy(redis.port);
  try {
    const { queue, control, lease, subscriber, commit } = await open(proxy.url);
    const committing = await commit();
    const blocking = queue.duplicate();
    blocking.on('error', () => undefined);
    await subscriber.subscribe('channel');
    await blocking.connect();
    proxy.partition('both');
    const startedAt = performance.now();
    const stalls = async (client: Redis, mostMs: number) => {
      await event(client, 'close');
      expect(performance.now() - startedAt).toBeLessThan(mostMs);
    };
    const unanswered = [queue, control, ...lease, committing].map((client) => client.get('key'));
    for (const answer of unanswered) answer.catch(() => undefined);
    blocking.bzpopmin('marker', 4).catch(() => undefined);
    await Promise.all([
      stalls(control, 5500),
      stalls(lease[0]!, 3000),
      stalls(committing, 5500),
      stalls(subscriber, 5500),
      stalls(queue, 6500),
      stalls(blocking, 6500),
    ]);
    proxy.heal();
    const reconnecting = [queue, control, subscriber, blocking];
    await waitFor(() => reconnecting.every(({ status }) => status === 'ready'), 'the connections to be back');
    blocking.disconnect();
    expect(committing.status).toBe('end');
  } finally {
    await proxy.close();
  }
});

it('an event loop that was blocked for longer than the timeout causes no reconnect', async () => {
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.source().lease });
  const client = await connector.connect('lease', { socketTimeout: 100 });
  let closed = 0;
  client.on('close', () => closed++);
  const answer = client.ping();
  await new Promise((resolve) => setImmediate(resolve));
  const until = performance.now() + 300;
  while (performance.now() < until);
  expect(await answer).toBe('PONG');
  await client.ping();
  expect(closed).toBe(0);
  client.disconnect();
});

it('a timeout allows for blocking commands', () => {
  expect(SETTINGS.queue.socketTimeout).toBeGreaterThan(5000);
});

it('a connection carries the name of its instance; a user without the right to set it can still connect', async () => {
  await open(redis.url);
  const named = await redis.client.client('LIST');
  expect(String(named).match(/ name=\{nic\}:a /g)).toHaveLength(4);
  await redis.client.acl('SETUSER', 'me', 'on', 'nopass', '~*', '&*', '+@all', '-client|setname');
  const { control } = await open(redis.url.replace('://', '://me:x@'));
  expect(await control.ping()).toBe('PONG');
});

it('a Redis that refuses writes for a while is logged as unavailable once, and as back once', async () => {
  const lines: string[] = [];
  const log = (text: string) => void lines.push(text);
  const logger: Logger = { error: log, warn: log, info: log, debug: () => undefined, child: () => logger };
  const warnings: string[] = [];
  const warned = (warning: Error) => warnings.push(warning.name);
  process.on('warning', warned);
  const { control, queue } = await open(redis.url, logger);
  const other = redis.port;
  await redis.client.call('REPLICAOF', '127.0.0.1', String(other));
  const until = performance.now() + 1500;
  // Like the parts of an instance, regardless of the answer.
  while (performance.now() < until) {
    await control.hset('key', 'field', 1).catch(() => undefined);
    void queue.hset('key', 'field', 2);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await redis.client.call('REPLICAOF', 'NO', 'ONE');
  await waitFor(() => lines.includes('Redis is back'), 'the line');
  process.off('warning', warned);
  expect(lines).toEqual([expect.stringMatching(/^Redis is away or refuses writes/), 'Redis is back']);
  expect(warnings).toEqual([]);
});
