import { Redis } from 'ioredis';
import type * as Leases from '../../src/leadership/lease';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

/*
 * The behavior of redlock that leadership/lease.ts relies on, tested with redlock itself and with its maintained fork
 * (installed as redlock-sesamecare), which can replace it if redlock stops working.
 */

const NODES = 3;
const TTL_MS = 5000;
let servers: RedisServer[];
let nodes: Redis[];

beforeAll(async () => {
  servers = await Promise.all(Array.from({ length: NODES }, () => startRedis()));
  // Like connections of the role `lease`, they fail at once.
  const options = { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: 500 };
  nodes = servers.map(({ port }) => new Redis(port, { ...options, retryStrategy: () => 50 }));
  for (const node of nodes) node.on('error', () => undefined);
  await waitFor(() => nodes.every(({ status }) => status === 'ready'), 'the nodes');
});

afterAll(async () => {
  for (const node of nodes) node.disconnect();
  await Promise.all(servers.map((server) => server.stop()));
});

function loadLeases(library: string): typeof Leases {
  let loaded: typeof Leases | undefined;
  jest.isolateModules(() => {
    jest.doMock('redlock', () => {
      const actual = jest.requireActual<Record<string, unknown>>(library);
      return { ...actual, __esModule: true, default: actual['default'] ?? actual['Redlock'] };
    });
    loaded = jest.requireActual<typeof Leases>('../../src/leadership/lease');
    jest.dontMock('redlock');
  });
  return loaded!;
}

describe.each(['redlock', 'redlock-sesamecare'])('leases on %s', (library) => {
  const { LeaseNodes } = loadLeases(library);
  let key: string;
  const open = (count = NODES) => new LeaseNodes({ nodes: nodes.slice(0, count), ttlMs: TTL_MS });
  const acquire = () => open().lease(key).acquire();
  const values = () => Promise.all(nodes.map((node) => node.get(key)));

  beforeEach(() => void (key = `{${library}}:lease:${Math.random()}`));

  it('are strings with a secret and a time to live on every node, and are refused to other holders', async () => {
    expect(await open().heldForMs(key)).toBe(0);
    expect(await acquire()).toBeDefined();
    // A majority is enough to acquire: the last node can be a moment later.
    await waitFor(async () => !(await values()).includes(null), 'the last node');
    const [secret, ...others] = await values();
    expect(secret).toMatch(/\S{16,}/);
    expect(others).toEqual([secret, secret]);
    expect(await open().holders([key, `${key}:other`])).toEqual([secret, undefined]);
    expect(await acquire()).toBeUndefined();
    const heldForMs = await open().heldForMs(key);
    expect(heldForMs).toBeGreaterThan(TTL_MS / 2);
    expect(heldForMs).toBeLessThanOrEqual(TTL_MS);
  });

  it('can be extended while they are held, even if they look expired, and are lost when another holder has them', async () => {
    const held = await acquire();
    await Promise.all(nodes.map((node) => node.pexpire(key, 1000)));
    expect(await held!.extend()).toBe('extended');
    expect(await nodes[0]!.pttl(key)).toBeGreaterThan(1000);
    await Promise.all(nodes.map((node) => node.set(key, 'of another', 'PX', TTL_MS)));
    expect(await held!.extend()).toBe('lost');
    await held!.release();
    expect(await values()).toEqual(['of another', 'of another', 'of another']);
  });

  it('are free at once when they are released or taken from a holder whose secret is known', async () => {
    const held = await acquire();
    await held!.release();
    expect(await values()).toEqual([null, null, null]);
    await acquire();
    await open().evict(key, 'of nobody');
    expect(await values()).not.toContain(null);
    await open().evict(key, (await open().holders([key]))[0]!);
    expect(await values()).toEqual([null, null, null]);
  });

  it('are decided by a majority: one node can be down, and with two nodes down they reject', async () => {
    await servers[0]!.kill();
    await waitFor(() => nodes[0]!.status !== 'ready', 'the connection to end');
    const held = await acquire();
    expect(await held!.extend()).toBe('extended');
    await servers[1]!.kill();
    await waitFor(() => nodes[1]!.status !== 'ready', 'the connection to end');
    await expect(held!.extend()).rejects.toThrow();
    await expect(acquire()).rejects.toThrow();
    await Promise.all([servers[0]!.restart(), servers[1]!.restart()]);
    await waitFor(() => nodes.every(({ status }) => status === 'ready'), 'the nodes');
  });
});
