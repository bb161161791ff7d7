import { keysOf } from '../../src/keys';
import { CrashWatch } from '../../src/leadership/crashWatch';
import { RedisLease } from '../../src/leadership/lease';
import { Presence } from '../../src/membership/presence';
import { takeTerm } from '../../src/leadership/term';
import { RedisConnector } from '../../src/redis/connector';
import { parseRedisUrl } from '../../src/redis/address';
import { startProxy } from '../../testkit/proxy.cjs';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { silentLogger } from '../helpers/silentLogger';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;
let cleanUps: (() => unknown)[];

beforeEach(async () => {
  redis = await startRedis(['--appendonly', 'yes']);
  cleanUps = [];
});

afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
  await redis.stop();
});

async function connect(role: 'control' | 'lease' | 'subscriber', url = redis.url) {
  const client = await new RedisConnector({ address: parseRedisUrl(url), key: keys.lease }).connect(role);
  cleanUps.push(() => client.disconnect());
  return client;
}

/** A leader with a lease, a term and a presence, but no process of its own. */
async function leader(instance: string) {
  const [control, subscriber, leaseClient] = await Promise.all([
    connect('control'),
    connect('subscriber'),
    connect('lease'),
  ]);
  const nobody = () => undefined;
  const presence = new Presence({
    control,
    subscriber,
    keys,
    instance,
    onElected: nobody,
    onSteppedDown: nobody,
    logger: silentLogger,
  });
  await presence.start();
  const { held } = await new RedisLease({ nodes: [leaseClient], key: keys.lease, ttlMs: 60_000 }).acquire();
  const { term } = await takeTerm(control, keys, instance);
  return { presence, subscriber, held: held!, term };
}

/** A follower's watch. */
async function watch(url = redis.url) {
  const [control, leaseClient] = await Promise.all([connect('control', url), connect('lease', url)]);
  let gone = 0;
  const crashWatch = new CrashWatch({
    control,
    keys,
    lease: new RedisLease({ nodes: [leaseClient], key: keys.lease, ttlMs: 60_000 }),
    isLeading: () => false,
    onGone: () => gone++,
    logger: silentLogger,
  });
  crashWatch.start();
  cleanUps.push(() => crashWatch.stop());
  return { crashWatch, gone: () => gone, control };
}

/** Long enough for any watch to have looked several times. */
const severalLooks = () => new Promise((resolve) => setTimeout(resolve, 900));
const leaseHeld = () => redis.client.exists(keys.lease);

it('frees the lease of a leader whose connection has ended, within two looks', async () => {
  const { subscriber } = await leader('a');
  const { gone } = await watch();
  await severalLooks();
  expect(gone()).toBe(0);
  const endedAt = performance.now();
  subscriber.disconnect();
  await waitFor(() => gone() === 1, 'the eviction');
  expect(performance.now() - endedAt).toBeLessThan(700);
  expect(await leaseHeld()).toBe(0);
});

it('suspects nobody whom it has not seen alive', async () => {
  const { subscriber } = await leader('a');
  subscriber.disconnect();
  const { gone } = await watch();
  await severalLooks();
  expect(gone()).toBe(0);
  expect(await leaseHeld()).toBe(1);
});

it('suspects nobody because of a reconnect of its own', async () => {
  const proxy = await startProxy(redis.port);
  cleanUps.push(() => proxy.close());
  const { subscriber } = await leader('a');
  const { gone, control } = await watch(proxy.url);
  await severalLooks();
  // While it is away the leader leaves; it was not seen alive on the connection that follows.
  proxy.refuse();
  proxy.cut();
  await waitFor(() => control.status !== 'ready', 'the connection to break');
  subscriber.disconnect();
  proxy.heal();
  await waitFor(() => control.status === 'ready', 'the connection to be back');
  await severalLooks();
  expect(gone()).toBe(0);
  expect(await leaseHeld()).toBe(1);
});

it('suspects nobody after a restart of Redis, until the leader is there again', async () => {
  const { subscriber } = await leader('a');
  const { gone, control } = await watch();
  await severalLooks();
  await redis.kill();
  await redis.restart();
  await waitFor(() => control.status === 'ready' && subscriber.status === 'ready', 'all to be back');
  await severalLooks();
  expect(gone()).toBe(0);
  expect(await leaseHeld()).toBe(1);
  subscriber.disconnect();
  await waitFor(() => gone() === 1, 'the eviction');
});

it('takes nothing from a successor that has the lease already', async () => {
  const first = await leader('a');
  const { gone } = await watch();
  await severalLooks();
  // All at once: the first is gone, and the second in its place.
  await first.held.release();
  const second = await leader('b');
  first.subscriber.disconnect();
  await severalLooks();
  expect(gone()).toBe(0);
  expect(await second.held.extend()).toBe('extended');
});
