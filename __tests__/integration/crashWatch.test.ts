import { keysOf } from '../../src/keys';
import { CrashWatch } from '../../src/leadership/crashWatch';
import { type HeldLease, LeaseNodes } from '../../src/leadership/lease';
import { generatorRole, keeperRole, type Role } from '../../src/leadership/role';
import { takeTerm } from '../../src/leadership/term';
import { showPresence } from '../../src/membership/presence';
import { parseRedisUrl } from '../../src/redis/address';
import { RedisConnector } from '../../src/redis/connector';
import { startProxy } from '../../testkit/proxy.cjs';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { silentLogger } from '../helpers/silentLogger';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
const GENERATOR = generatorRole(keys);
const KEEPER = keeperRole(keys);
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
  const client = await new RedisConnector({ address: parseRedisUrl(url), key: keys.source().lease }).connect(
    role,
  );
  cleanUps.push(() => client.disconnect());
  return client;
}

/** A leader with leases, terms and a presence, but without a process. */
async function leader(instance: string, roles: readonly Role[] = [GENERATOR], ttlMs = 60_000) {
  const [control, subscriber, leaseClient] = await Promise.all([
    connect('control'),
    connect('subscriber'),
    connect('lease'),
  ]);
  await showPresence({
    control,
    subscriber,
    keys,
    instance,
    onAnnouncement: () => undefined,
    stopped: new AbortController().signal,
    logger: silentLogger,
  });
  const leases = new LeaseNodes({ nodes: [leaseClient], ttlMs });
  const held: HeldLease[] = [];
  const take = async (role: Role) => {
    held.push((await leases.lease(role.keys.lease).acquire())!);
    await takeTerm(control, keys, role, instance);
  };
  for (const role of roles) await take(role);
  return { subscriber, held, take };
}

/** The crash watch of a follower. */
async function watch(url = redis.url, ttlMs = 60_000) {
  const [control, leaseClient] = await Promise.all([connect('control', url), connect('lease', url)]);
  const vacant: string[] = [];
  const terms = new Map<string, number>();
  let looks = 0;
  const crashWatch = new CrashWatch({
    control,
    keys,
    leases: new LeaseNodes({ nodes: [leaseClient], ttlMs }),
    roles: [GENERATOR, KEEPER],
    instance: 'follower',
    onVacant: (roles, why) => vacant.push(...roles.map(({ id }) => `${id} ${why}`)),
    onTerms: (read) => read.forEach((term, role) => terms.set(role, term)),
    ttlMs,
    logger: silentLogger,
  });
  const stopping = new AbortController();
  const supervise = async () => {
    while (!stopping.signal.aborted) {
      await crashWatch.run({ signal: stopping.signal, progress: () => looks++ }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const running = supervise();
  cleanUps.push(() => {
    stopping.abort();
    return running;
  });
  /** Resolves after several polls. */
  const looked = async () => {
    const from = looks;
    await waitFor(() => looks >= from + 4, 'the watch to look');
  };
  const crashed = () => vacant.filter((entry) => entry.endsWith('crash'));
  return { crashWatch, vacant, crashed, control, terms, looked };
}

const leaseHeld = (role: Role = GENERATOR) => redis.client.exists(role.keys.lease);

it('frees the leases of all roles of a leader whose connection has ended, within two polls', async () => {
  const { subscriber } = await leader('a', [GENERATOR, KEEPER]);
  const { crashed, looked } = await watch();
  await looked();
  expect(crashed()).toEqual([]);
  const endedAt = performance.now();
  subscriber.disconnect();
  await waitFor(() => crashed().length === 2, 'the eviction');
  expect(performance.now() - endedAt).toBeLessThan(700);
  expect(crashed().sort()).toEqual(['generator crash', 'keeper crash']);
  expect(await leaseHeld()).toBe(0);
  expect(await leaseHeld(KEEPER)).toBe(0);
});

it('frees what the leader took right before its connection ended, too', async () => {
  const { subscriber, take } = await leader('a');
  const { crashed, looked } = await watch();
  await looked();
  await take(KEEPER);
  subscriber.disconnect();
  await waitFor(() => crashed().length > 0, 'the eviction');
  expect(crashed().sort()).toEqual(['generator crash', 'keeper crash']);
  expect(await leaseHeld(KEEPER)).toBe(0);
});

it('knows a process that led before: what it has just taken is free when its connection ends', async () => {
  const { subscriber, held, take } = await leader('a');
  const { crashed, crashWatch, looked } = await watch();
  await looked();
  await held[0]!.release();
  crashWatch.steppedDown('a', GENERATOR.id);
  await looked();
  await take(KEEPER);
  subscriber.disconnect();
  await waitFor(() => subscriber.status === 'end', 'the connection to end');
  crashWatch.refresh();
  await waitFor(() => crashed().length === 1, 'the eviction', 5000);
  expect(crashed()).toEqual(['keeper crash']);
});

it('does not take the lease of a successor that has yet to take its term for one of the dead leader', async () => {
  const { subscriber } = await leader('a');
  const { crashed, crashWatch, looked } = await watch();
  await looked();
  subscriber.disconnect();
  await waitFor(() => crashed().length === 1, 'the eviction');
  const leases = new LeaseNodes({ nodes: [await connect('lease')], ttlMs: 60_000 });
  const held = await leases.lease(GENERATOR.keys.lease).acquire();
  crashWatch.refresh();
  await looked();
  expect(crashed()).toHaveLength(1);
  expect(await held!.extend()).toBe('extended');
});

it('tries again when an eviction has failed', async () => {
  const { subscriber } = await leader('a');
  const { crashed, looked } = await watch();
  await looked();
  const evict = jest.spyOn(LeaseNodes.prototype, 'evict').mockRejectedValueOnce(new Error('no answer'));
  cleanUps.push(() => evict.mockRestore());
  subscriber.disconnect();
  await waitFor(() => crashed().length === 1, 'the eviction');
  expect(evict).toHaveBeenCalledTimes(2);
  expect(await leaseHeld()).toBe(0);
});

it('touches nothing of a leader that lives, while another one is dead', async () => {
  const a = await leader('a');
  const b = await leader('b', [KEEPER]);
  const { crashed, looked } = await watch();
  await looked();
  b.subscriber.disconnect();
  await waitFor(() => crashed().length === 1, 'the eviction');
  await looked();
  expect(crashed()).toEqual(['keeper crash']);
  expect(await a.held[0]!.extend()).toBe('extended');
});

it('does not suspect a leader that it has not seen alive', async () => {
  const { subscriber } = await leader('a');
  subscriber.disconnect();
  const { crashed, looked } = await watch();
  await looked();
  expect(crashed()).toEqual([]);
  expect(await leaseHeld()).toBe(1);
});

it('does not suspect a leader because of its own reconnect', async () => {
  const proxy = await startProxy(redis.port);
  cleanUps.push(() => proxy.close());
  const { subscriber } = await leader('a');
  const { crashed, control, looked } = await watch(proxy.url);
  await looked();
  // The leader leaves during the reconnect, so it was not seen alive on the new connection.
  proxy.refuse();
  proxy.cut();
  await waitFor(() => control.status !== 'ready', 'the connection to break');
  subscriber.disconnect();
  proxy.heal();
  await waitFor(() => control.status === 'ready', 'the connection to be back');
  await looked();
  expect(crashed()).toEqual([]);
  expect(await leaseHeld()).toBe(1);
});

it('does not suspect a leader after a restart of Redis until the leader has reconnected', async () => {
  const { subscriber } = await leader('a');
  const { crashed, control, looked } = await watch();
  await looked();
  await redis.kill();
  await redis.restart();
  await waitFor(() => control.status === 'ready' && subscriber.status === 'ready', 'all to be back');
  await looked();
  expect(crashed()).toEqual([]);
  expect(await leaseHeld()).toBe(1);
  subscriber.disconnect();
  await waitFor(() => crashed().length === 1, 'the eviction');
});

it('does not free the lease of a successor', async () => {
  const first = await leader('a');
  const { crashed, looked } = await watch();
  await looked();
  // At the same instant the first leader disappears and the second takes its place.
  await first.held[0]!.release();
  const second = await leader('b');
  first.subscriber.disconnect();
  await looked();
  expect(crashed()).toEqual([]);
  expect(await second.held[0]!.extend()).toBe('extended');
});

it('notices right when the lease of a silent leader expires', async () => {
  await leader('a', [GENERATOR], 1500);
  const acquiredAt = performance.now();
  const { vacant } = await watch(redis.url, 1500);
  await waitFor(() => vacant.includes('generator expired'), 'the expiry');
  expect(performance.now() - acquiredAt).toBeLessThan(1500 * 1.1);
});

it('notices a role without a leader, and returns the newest terms', async () => {
  await leader('a', [GENERATOR]);
  await takeTerm(redis.client, keys, GENERATOR, 'somebody');
  const { vacant, terms, crashWatch } = await watch();
  await waitFor(() => vacant.includes('keeper free'), 'the vacancy');
  expect(terms.get('generator')).toBe(2);
  await takeTerm(redis.client, keys, GENERATOR, 'another');
  crashWatch.refresh();
  await waitFor(() => terms.get('generator') === 3, 'the new term');
});
