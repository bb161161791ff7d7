import { Redis } from 'ioredis';
import { keysOf } from '../../src/keys';
import { DeadInstances } from '../../src/membership/deadInstances';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let redis: RedisServer;
let control: Redis;
const opened: Redis[] = [];

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  for (const client of opened.splice(0)) client.disconnect();
  await redis.stop();
});

const open = (connectionName?: string) => {
  const client = new Redis(redis.url, {
    retryStrategy: () => 20,
    disconnectTimeout: 100,
    ...(connectionName !== undefined && { connectionName }),
  });
  client.on('error', () => undefined);
  opened.push(client);
  return client;
};

const report = (instance: string) => {
  const stored = { seen: Date.now(), host: 'h', pid: 1, startedAt: new Date().toISOString() };
  return redis.client.hset(keys.instances, instance, JSON.stringify(stored));
};

/** An instance with a subscription and another connection, both named after it. */
async function startInstance(instance: string) {
  const subscriber = open(keys.connectionName(instance));
  await subscriber.subscribe(keys.presence(instance));
  await report(instance);
  const other = open(keys.connectionName(instance));
  await other.ping();
  return { subscriber, other };
}

/** Checks like the keeper, and returns after how many milliseconds the instance was declared dead. */
async function diesWithin(ms: number, instance: string, dead: DeadInstances): Promise<number | undefined> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < ms) {
    if ((await dead.filterDead([instance]).catch(() => new Set())).has(instance)) {
      return performance.now() - startedAt;
    }
    await sleep(50);
  }
  return undefined;
}

async function watch() {
  control = open();
  await control.ping();
  return new DeadInstances({ client: control, keys, missingMs: 400, witnessMarginMs: 1500 });
}

/** Resolves once the control connection has been lost and is back. */
const controlIsBack = () =>
  new Promise((resolve) => control.once('close', () => control.once('ready', resolve)));

async function restartRedis() {
  const back = controlIsBack();
  await redis.kill();
  await redis.restart();
  await back;
}

/** Breaks connections, and resolves once the control connection is back. */
async function lose(clients: readonly Redis[]) {
  const back = controlIsBack();
  for (const client of clients)
    await redis.client.call('CLIENT', 'KILL', 'ID', String(await client.client('ID')));
  await back;
}

it('an instance whose connections are all gone is declared dead after the timeout', async () => {
  const { subscriber, other } = await startInstance('a');
  const dead = await watch();
  expect(await dead.filterDead(['a'])).toEqual(new Set());
  subscriber.disconnect();
  other.disconnect();
  const afterMs = await diesWithin(3000, 'a', dead);
  expect(afterMs).toBeGreaterThan(390);
  expect(afterMs).toBeLessThan(800);
});

it('an instance that was never checked is known if it was present when the connection was opened', async () => {
  const { subscriber, other } = await startInstance('a');
  const dead = await watch();
  await sleep(50);
  subscriber.disconnect();
  other.disconnect();
  expect(await diesWithin(3000, 'a', dead)).toBeLessThan(800);
});

it('an instance that has lost only its subscription is alive while it reports or is connected', async () => {
  const { subscriber, other } = await startInstance('a');
  const dead = await watch();
  await dead.filterDead(['a']);
  subscriber.disconnect();
  other.disconnect();
  const reporting = setInterval(() => void report('a'), 150);
  expect(await diesWithin(700, 'a', dead)).toBeUndefined();
  clearInterval(reporting);

  // It is busy and no longer reports, but the kernel keeps its connections open.
  const kept = open(keys.connectionName('a'));
  await kept.ping();
  expect(await diesWithin(700, 'a', dead)).toBeUndefined();
  kept.disconnect();
  expect(await diesWithin(3000, 'a', dead)).toBeGreaterThan(0);
});

it('after a restart of Redis, an instance that has not reconnected yet is not declared dead', async () => {
  await startInstance('a');
  const dead = await watch();
  await dead.filterDead(['a']);
  for (const client of opened) if (client !== control) client.disconnect();
  await restartRedis();
  expect(await diesWithin(700, 'a', dead)).toBeUndefined();
  // Once it has reported, its absence can be detected.
  await report('a');
  expect(await diesWithin(3000, 'a', dead)).toBeGreaterThan(0);
});

/** Opens a connection of another instance, and waits until it is old enough to show that Redis has not restarted since. */
async function openWitness() {
  const witness = open(keys.connectionName('b'));
  await witness.ping();
  // Redis counts the age of connections in seconds.
  await sleep(2600);
  return witness;
}

it('an instance that dies while this one has lost its connection is declared dead if another kept its own', async () => {
  await openWitness();
  const { subscriber, other } = await startInstance('a');
  const dead = await watch();
  await dead.filterDead(['a']);
  subscriber.disconnect();
  other.disconnect();
  await lose([control]);
  expect(await diesWithin(3000, 'a', dead)).toBeLessThan(1000);
});

it('an instance that died before this one started is declared dead if an older connection exists', async () => {
  await openWitness();
  const { subscriber, other } = await startInstance('a');
  subscriber.disconnect();
  other.disconnect();
  const dead = await watch();
  expect(await diesWithin(3000, 'a', dead)).toBeLessThan(1000);
});

it('an instance that died before this one started is not declared dead if Redis might have restarted since', async () => {
  const { subscriber, other } = await startInstance('a');
  await sleep(2600);
  await open(keys.connectionName('b')).ping();
  subscriber.disconnect();
  other.disconnect();
  const dead = await watch();
  expect(await diesWithin(1500, 'a', dead)).toBeUndefined();
});

it('an instance that had died before Redis restarted is declared dead afterwards', async () => {
  const { subscriber, other } = await startInstance('a');
  const dead = await watch();
  await dead.filterDead(['a']);
  subscriber.disconnect();
  other.disconnect();
  await sleep(100);
  expect(await dead.filterDead(['a'])).toEqual(new Set());
  await restartRedis();
  expect(await diesWithin(3000, 'a', dead)).toBeGreaterThan(390);
});

it('if all connections were lost at once, an instance that has not reconnected yet is not declared dead', async () => {
  const witness = await openWitness();
  const { subscriber, other } = await startInstance('a');
  const dead = await watch();
  await dead.filterDead(['a']);
  subscriber.disconnect();
  other.disconnect();
  await lose([witness, control]);
  expect(await diesWithin(1500, 'a', dead)).toBeUndefined();
});

it('a user without the right to list connections relies on the other signs', async () => {
  const { subscriber } = await startInstance('a');
  const dead = await watch();
  await redis.client.call('ACL', 'SETUSER', 'default', '-client|list');
  await dead.filterDead(['a']);
  subscriber.disconnect();
  await waitFor(async () => !(await dead.filterDead(['a'])).has('a'), 'a check');
  expect(await diesWithin(3000, 'a', dead)).toBeGreaterThan(0);
});
