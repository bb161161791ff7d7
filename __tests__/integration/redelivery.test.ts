import { resolve } from 'node:path';
import { keysOf } from '../../src/keys';
import { openQueue } from '../../src/redis/queue';
import { deliveriesTo, requeue } from '../../src/handling/deliveries';
import { freeStalledCheck } from '../../src/handling/stalledCheck';
import { jobCounts } from '../helpers/history';
import { ELECTED, killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

let redis: RedisServer;
let ledger: RedisServer;

beforeEach(async () => {
  [redis, ledger] = await Promise.all([startRedis(), startRedis()]);
});

afterEach(async () => {
  await killAll();
  await Promise.all([redis.stop(), ledger.stop()]);
});

interface Handling {
  number: number;
  attempt: number;
  instance: string;
}

const handlings = async () =>
  (await ledger.client.lrange('handled', 0, -1)).map((line) => JSON.parse(line) as Handling);

/** Starts a slow handler and a second instance, and kills the first one while its message is active. */
async function killHandler(env: Record<string, string> = {}) {
  const common = {
    REDISURL: redis.url,
    LEDGER: ledger.url,
    TASK: resolve('__tests__/fixtures/ledgerTask.mjs'),
    TOTAL: '1',
    ...env,
  };
  const victim = startInstance({ ...common, HANDLE_MS: '60000' });
  await waitFor(async () => (await handlings()).length === 1, 'the message to be active');
  const heir = startInstance(common);
  await heir.logged('following');
  const killedAt = performance.now();
  victim.signal('SIGKILL');
  await heir.logged(ELECTED);
  return { victim, heir, killedAt };
}

it('an active message of a crashed instance is redelivered within 3 s', async () => {
  const { victim, heir, killedAt } = await killHandler();
  await waitFor(async () => (await handlings()).length === 2, 'the second handling');
  expect(performance.now() - killedAt).toBeLessThan(3000);
  expect(await handlings()).toMatchObject([
    { number: 1, attempt: 1, instance: victim.name },
    { number: 1, attempt: 2, instance: heir.name },
  ]);
  await waitFor(async () => (await jobCounts(redis.client)).completed === 1, 'its completion');
});

it('the active messages of several instances that crash at once are redelivered within 3 s', async () => {
  const common = {
    REDISURL: redis.url,
    LEDGER: ledger.url,
    TASK: resolve('__tests__/fixtures/ledgerTask.mjs'),
  };
  const victims = [1, 2, 3].map(() => startInstance({ ...common, TOTAL: '3', HANDLE_MS: '60000' }));
  await waitFor(async () => (await handlings()).length === 3, 'the messages to be active');
  const heir = startInstance({ ...common, TOTAL: '3' });
  await heir.logged('following');
  const killedAt = performance.now();
  for (const victim of victims) victim.signal('SIGKILL');
  await waitFor(async () => (await handlings()).length === 6, 'all to be handled again');
  // Usually 2.3 s.
  expect(performance.now() - killedAt).toBeLessThan(3500);
});

it('with ON_STALL=fail it is never handled again but recorded as an error, regardless of ATTEMPTS', async () => {
  await killHandler({ ON_STALL: 'fail', ATTEMPTS: '5' });
  const json = await waitFor(() => redis.client.hget('{nic}:errors', '1'), 'the record');
  expect(JSON.parse(json)).toMatchObject({
    id: '1',
    message: { number: 1 },
    error: { message: 'the instance that handled it is dead' },
  });
  expect(await handlings()).toHaveLength(1);
  expect(await jobCounts(redis.client)).toMatchObject({ wait: 0, active: 0, delayed: 0, failed: 1 });
});

it('a paused handler keeps its message until its lock expires, and then loses it', async () => {
  const common = {
    REDISURL: redis.url,
    LEDGER: ledger.url,
    TASK: resolve('__tests__/fixtures/ledgerTask.mjs'),
    TOTAL: '1',
    JOB_LOCK_MS: '1500',
    LEASE_TTL_MS: '1000',
  };
  const paused = startInstance({ ...common, HANDLE_MS: '3000' });
  await waitFor(async () => (await handlings()).length === 1, 'the message to be active');
  const other = startInstance(common);
  await other.logged('started');
  paused.signal('SIGSTOP');
  await waitFor(async () => (await handlings()).length === 2, 'the second handling');
  await waitFor(async () => (await jobCounts(redis.client)).completed === 1, 'its completion');
  const from = paused.log.length;
  paused.signal('SIGCONT');
  // It finds its lock gone; the message stays completed and was completed once.
  await paused.logged('stepped down', from);
  await paused.logged('the lock of a message was lost before its outcome was stored', from);
  expect(await jobCounts(redis.client)).toMatchObject({ completed: 1, failed: 0, active: 0, wait: 0 });
});

it('retries a failing message up to ATTEMPTS times with growing delays, and records it once', async () => {
  startInstance({
    REDISURL: redis.url,
    LEDGER: ledger.url,
    TASK: resolve('__tests__/fixtures/ledgerTask.mjs'),
    TOTAL: '1',
    FAIL_EVERY: '1',
    ATTEMPTS: '3',
    BACKOFF_MS: '100',
  });
  const json = await waitFor(() => redis.client.hget('{nic}:errors', '1'), 'the record');
  expect(JSON.parse(json)).toMatchObject({
    attempts: 3,
    error: { name: 'RangeError', message: 'number 1 fails' },
  });
  expect((await handlings()).map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
});

it('a keeper that is paused before it requeues does not take the message from its new holder', async () => {
  const keys = keysOf('nic');
  const queue = openQueue(redis.client, keys);
  await queue.add('message', { number: 1 });
  /** Makes the message active on an instance, as BullMQ does. */
  const deliver = async (instance: string) => {
    await redis.client.hset('{nic}:messages:1', 'pb', instance);
    await redis.client.set(keys.lock('1'), `token of ${instance}`);
  };
  await redis.client.rpoplpush(keys.waiting, keys.active);
  await deliver('dead');
  const [delivery] = await deliveriesTo('dead', redis.client, keys);
  expect(delivery).toMatchObject({ id: '1', token: 'token of dead' });

  // Meanwhile another keeper requeues the message, and another instance takes it.
  await deliver('heir');
  await expect(requeue(queue, delivery!)).rejects.toThrow('Lock mismatch');
  expect(await jobCounts(redis.client)).toMatchObject({ active: 1, wait: 0 });
  expect(await redis.client.get(keys.lock('1'))).toBe('token of heir');
});

it('checks for expired locks continue although the clock of Redis was set back by an hour', async () => {
  const { client } = redis;
  const { stalledCheck } = keysOf('nic');
  await client.set(stalledCheck, '1', 'PX', 7000);
  await freeStalledCheck(client, keysOf('nic'), 30_000);
  expect(await client.exists(stalledCheck)).toBe(1);
  await client.pexpire(stalledCheck, 3_600_000);
  await freeStalledCheck(client, keysOf('nic'), 30_000);
  expect(await client.exists(stalledCheck)).toBe(0);
});
