import { once } from 'node:events';
import { Redis } from 'ioredis';
import type { Role } from '../../testkit/connectionRoles.cjs';
import { ROLES, roleOf } from '../../testkit/connectionRoles.cjs';
import { type Proxy, startProxy } from '../../testkit/proxy.cjs';
import { killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

let redis: RedisServer;
let proxy: Proxy;
let clients: Redis[];

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

beforeEach(async () => {
  proxy = await startProxy(redis.port);
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.disconnect();
  await proxy.close();
});

/** Connects and sends a command that reveals the role. A broken connection stays broken. */
async function connect(role: 'lease' | 'control'): Promise<Redis> {
  const client = new Redis(proxy.url, {
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    commandTimeout: 300,
    disconnectTimeout: 100,
  });
  client.on('error', () => undefined);
  clients.push(client);
  await (role === 'lease' ? client.pttl('{x}:lease') : client.get('{x}:leader'));
  return client;
}

const answers = async (client: Redis) =>
  client.ping().then(
    () => true,
    () => false,
  );

/** Returns whether the lease connection and another one answer after `fault` was injected into the lease connection. */
async function afterFault(fault: (role: Role) => void): Promise<[boolean, boolean]> {
  const [lease, control] = await Promise.all([connect('lease'), connect('control')]);
  fault('lease');
  return Promise.all([answers(lease), answers(control)]);
}

it('identifies the roles of the connections of an instance', async () => {
  const instance = startInstance({ REDISURL: proxy.url, DEMO_INTERVAL_MS: '200' });
  await waitFor(() => ROLES.every((role) => proxy.roles().includes(role)), `all of ${ROLES.join(', ')}`);
  expect(instance.process.exitCode).toBeNull();
  await killAll();
});

it.each<[Role | undefined, string]>([
  ['subscriber', 'SUBSCRIBE {nic}:leadership'],
  ['commit', 'WATCH {nic}:leader'],
  ['blocking', 'BZPOPMIN {nic}:messages:marker 5'],
  ['queue', 'EVALSHA abc 2 {nic}:messages:wait {nic}:messages:active'],
  ['listener', 'XREAD BLOCK 10000 STREAMS {nic}:messages:events $'],
  ['recorder', 'HGET {nic}:recorder position'],
  ['lease', 'EVALSHA abc 1 {nic}:lease:keeper'],
  ['lease', 'PTTL {nic}:source:a:lease'],
  ['control', 'HGETALL {nic}:leader'],
  [undefined, 'CLIENT SETINFO LIB-NAME ioredis'],
])('role %s: %s', (role, command) => expect(roleOf(command.split(' '))).toBe(role));

it('cuts the connections of one role only', async () => {
  expect(await afterFault((role) => proxy.cut(role))).toEqual([false, true]);
  expect(await answers(await connect('lease'))).toBe(true);
});

it('refuses new connections of one role only, until it heals', async () => {
  expect(await afterFault((role) => proxy.refuse(role))).toEqual([true, true]);
  await expect(connect('lease')).rejects.toThrow();
  expect(await answers(await connect('control'))).toBe(true);
  proxy.heal();
  expect(await answers(await connect('lease'))).toBe(true);
});

it.each(['requests', 'responses', 'both'] as const)(
  'blackholes %s on existing connections while new ones work',
  async (direction) => {
    expect(await afterFault((role) => proxy.blackhole(direction, role))).toEqual([false, true]);
    // It stays open, so the client does not notice.
    expect(clients[0]!.status).toBe('ready');
    expect(await answers(await connect('lease'))).toBe(true);
    proxy.heal();
    await once(clients[0]!, 'close');
  },
);

it('a partition affects new connections as well', async () => {
  proxy.partition('responses');
  await expect(connect('control')).rejects.toThrow();
});

it('delays one role only and keeps the order', async () => {
  const [lease, control] = await Promise.all([connect('lease'), connect('control')]);
  proxy.delay(100, 'lease');
  const startedAt = performance.now();
  const arrived: string[] = [];
  const asked = [control.ping('control'), lease.ping('first'), lease.ping('second')];
  await Promise.all(asked.map(async (each) => arrived.push(await each)));
  expect(arrived).toEqual(['control', 'first', 'second']);
  expect(performance.now() - startedAt).toBeGreaterThan(190);
});

it('holds what clients send until it is released', async () => {
  const client = await connect('control');
  proxy.hold('control');
  const sent = client.set('held', 'yes');
  await redis.client.ping();
  expect(await redis.client.get('held')).toBeNull();
  await proxy.release();
  expect(await sent).toBe('OK');
});
