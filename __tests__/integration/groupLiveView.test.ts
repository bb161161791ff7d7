import { Queue, Worker } from 'bullmq';
import { once } from 'node:events';
import { LiveView } from '../../src/group/liveView';
import { keysOf } from '../../src/keys';
import { LeaseNodes } from '../../src/leadership/lease';
import { generatorRole } from '../../src/leadership/role';
import { markEnd, takeTerm } from '../../src/leadership/term';
import { ErrorLog } from '../../src/errorLog/errorLog';
import { type RedisServer, startRedis } from '../helpers/redisServer';

const keys = keysOf('nic');
const role = generatorRole(keys);
let redis: RedisServer;
let queue: Queue;
let errorLog: ErrorLog;
let leases: LeaseNodes;
let group: LiveView;

beforeAll(async () => {
  redis = await startRedis();
});

beforeEach(async () => {
  await redis.client.flushall();
  queue = new Queue('messages', { connection: redis.client, prefix: '{nic}', skipMetasUpdate: true });
  errorLog = new ErrorLog(redis.client, queue, keys);
  leases = new LeaseNodes({ nodes: [redis.client], ttlMs: 5000 });
  group = new LiveView({ client: redis.client, queue, keys, namespace: 'nic', leases, errorLog });
});

afterAll(() => redis.stop());

/** A report in the form that a heartbeat stores. */
async function report(instance: string, fields: object, silentForMs = 0): Promise<void> {
  const [seconds, microseconds] = (await redis.client.time()).map(Number) as [number, number];
  const seen = seconds * 1000 + Math.floor(microseconds / 1000) - silentForMs;
  const usual = { host: 'h', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', handled: 0, failed: 0 };
  await redis.client.hset(keys.instances, instance, JSON.stringify({ seen, ...usual, ...fields }));
}

/** Keeps the presence of an instance for as long as `use` runs. */
async function connected<T>(instance: string, use: () => Promise<T>): Promise<T> {
  const subscriber = redis.client.duplicate();
  await subscriber.subscribe(keys.presence(instance));
  try {
    return await use();
  } finally {
    subscriber.disconnect();
  }
}

/** How often Redis has run each command, those within scripts included. */
async function commandCounts(): Promise<Map<string, number>> {
  const counts = (await redis.client.info('commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm);
  return new Map([...counts].map(([, name, calls]) => [name!, Number(calls)]));
}

async function failAll(...data: unknown[]): Promise<void> {
  await queue.addBulk(data.map((each) => ({ name: 'message', data: each })));
  const connection = redis.client.duplicate({ maxRetriesPerRequest: null });
  const fail = (job: { data: unknown }) => Promise.reject(new Error(JSON.stringify(job.data).slice(0, 2000)));
  const worker = new Worker('messages', fail, { connection, prefix: '{nic}', concurrency: 5 });
  await once(worker, 'drained');
  await worker.close();
  connection.disconnect();
  await errorLog.reconcile(new AbortController().signal);
}

it('is empty for an empty Redis', async () => {
  expect(await group.read()).toEqual({
    now: expect.any(Number) as number,
    leader: {},
    keeper: { since: 0 },
    sources: [
      {
        ...{ source: null, leader: null, term: null, generated: 0, cursor: '' },
        ...{ state: 'vacant', pause: null, rate: null },
      },
    ],
    paused: { generating: null, handling: null },
    instances: [],
    messages: {
      ...{ generated: 0, waiting: 0, active: 0, delayed: 0, completed: 0 },
      ...{ failed: 0, everFailed: 0, paused: false },
    },
    failures: [],
    errors: { total: 0, newest: [] },
    terms: [],
    history: { stepMs: 5000, samples: [] },
  });
});

it('shows which instances are alive, silent or gone', async () => {
  await connected('alive', () =>
    connected('silent', async () => {
      await report('alive', { board: { host: '127.0.0.1', port: 3000 } });
      await report('silent', { startedAt: '2026-01-02T00:00:00.000Z' }, 12_000);
      await report('gone', { startedAt: '2026-01-03T00:00:00.000Z' }, 1000);
      const { instances } = await group.read();
      expect(instances.map(({ instance, state }) => [instance, state])).toEqual([
        ...[
          ['alive', 'alive'],
          ['silent', 'silent'],
          ['gone', 'dead'],
        ],
      ]);
      expect(instances[0]).not.toHaveProperty('heardAt');
      expect(instances[0]).toMatchObject({ board: { host: '127.0.0.1', port: 3000 } });
      expect(instances[1]!.heardAt).toBeGreaterThan(0);
    }),
  );
});

it('computes rates from its own observations', async () => {
  await connected('a', async () => {
    await report('a', { handled: 100, failed: 10 });
    expect((await group.read()).instances[0]!.rate).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await report('a', { handled: 108, failed: 12 });
    const rate = (await group.read()).instances[0]!.rate!;
    expect(rate).toBeGreaterThan(5);
    expect(rate).toBeLessThan(11);
    // A new process under the name of an old one starts with a count of zero.
    await report('a', { handled: 0, failed: 0 });
    expect((await group.read()).instances[0]!.rate).toBe(0);
  });
});

it('has a leader while the lease is held, and otherwise says since when there is none', async () => {
  const held = await leases.lease(role.keys.lease).acquire();
  await takeTerm(redis.client, keys, role, 'a');
  const { leader, terms } = await group.read();
  expect(leader).toEqual({ instance: 'a', term: 1, since: terms[0]!.since, present: false });
  await markEnd(redis.client, role.keys, { instance: 'a', term: 1, cause: 'hand-over', agoMs: 0 });
  await held!.release();
  const { vacantSince } = (await group.read()).leader;
  expect(Math.abs((await group.read()).now - vacantSince!)).toBeLessThan(5000);
  // A term without any report.
  await takeTerm(redis.client, keys, role, 'b');
  expect((await group.read()).leader).toEqual({});
});

it('shows the newest twenty errors and the total', async () => {
  await failAll(...Array.from({ length: 30 }, (_, index) => index));
  const { errors } = await group.read();
  expect(errors.total).toBe(30);
  expect(errors.newest).toHaveLength(20);
  const times = errors.newest.map(({ failedAt }) => failedAt);
  expect(times).toEqual([...times].sort().reverse());
});

it('also shows errors written by hand, which cannot be retried, and invalid records', async () => {
  await failAll('real');
  await redis.client.hset(keys.errors, {
    'by-hand': JSON.stringify({
      ...{ id: 'by-hand', failedAt: '2020-01-01T00:00:00.000Z', instance: '', attempts: 0 },
      error: { name: '', message: 'old', stack: '' },
    }),
    ...{
      text: 'nonsense',
      number: '7',
      nothing: 'null',
      list: '[1]',
      odd: '{"error":5,"failedAt":{},"attempts":"x"}',
    },
  });
  const { errors } = await group.read();
  expect(errors.total).toBe(7);
  const byId = new Map(errors.newest.map((error) => [error.id, error]));
  expect(byId.size).toBe(7);
  expect(byId.get('1')).toMatchObject({ retriable: true, data: '"real"' });
  expect(byId.get('by-hand')).toMatchObject({
    retriable: false,
    text: 'old',
    failedAt: '2020-01-01T00:00:00.000Z',
  });
  expect(byId.get('text')).toMatchObject({ text: 'not readable: nonsense', failedAt: '' });
  for (const error of errors.newest) {
    expect(
      Object.values(error)
        .map((value) => typeof value)
        .sort(),
    ).toEqual(['boolean', 'number', 'string', 'string', 'string', 'string', 'string', 'string'].sort());
  }
  // Records without a failed job are only found among so few.
  const many = Array.from({ length: 1500 }, (_, index) => [`hand-${index}`, '{}']).flat();
  await redis.client.hset(keys.errors, ...many);
  const later = await group.read();
  expect([later.errors.total, later.errors.newest.length]).toEqual([1507, 1]);
});

it('does not read records that are too large to show, and truncates long texts', async () => {
  await failAll('x'.repeat(200_000), 'y'.repeat(10_000));
  const { newest } = (await group.read()).errors;
  const texts = newest.map(({ text }) => text).sort();
  expect(texts[0]).toHaveLength(601);
  expect(texts[1]).toBe('the record is too large to show here; use getErrors to print it');
  expect(JSON.stringify(newest).length).toBeLessThan(3000);
  // They can be cleared like other errors.
  expect(await group.clear(newest)).toEqual({ done: 2, left: [] });
  expect(await redis.client.hlen(keys.errors)).toBe(0);
});

it('reads records again only after a change, and until pending records have been written', async () => {
  await failAll(1, 2);
  const none = await commandCounts();
  await group.read();
  const before = await commandCounts();
  // The size of a record is asked for before it is read.
  expect(before.get('hstrlen')).toBeGreaterThan(none.get('hstrlen') ?? 0);
  await group.read();
  await group.read();
  const after = await commandCounts();
  const more = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  expect(more('hstrlen')).toBe(0);
  // Two looks, batched: what an open page costs a second is a few commands.
  const names = [...after.keys()].filter((name) => name !== 'info');
  expect(names.map(more).reduce((total, count) => total + count)).toBeLessThan(2 * 28);

  const record = await redis.client.hget(keys.errors, '2');
  await redis.client.hdel(keys.errors, '2');
  expect((await group.read()).errors.newest).toHaveLength(1);
  await redis.client.hset(keys.errors, '2', record!);
  expect((await group.read()).errors.newest).toHaveLength(2);
});

it('can be read whatever invalid data is stored', async () => {
  await redis.client.hset(keys.instances, { a: 'null', b: '{}', c: '{"seen":"x"}', d: '[]' });
  await redis.client.hset(
    keys.instances,
    'e',
    '{"seen":1,"startedAt":"never","handled":"x","host":{},"board":{"host":1}}',
  );
  await report('f', { handled: 'x', failed: 3, board: { host: 1 }, roles: [{}], sources: 'x' });
  await redis.client.hset(keys.source().leader, { instance: 'a', term: 'x', since: 'y' });
  await redis.client.hset(keys.source().ended, { term: 'x', at: 'z' });
  await redis.client.rpush(keys.source().terms, 'x', '{"term":1,"instance":"a","since":1,"cause":{}}');
  await redis.client.rpush(keys.history, 'x');
  await redis.client.hset(keys.source().cursor, 'generated', 'many');
  const state = JSON.parse(JSON.stringify(await group.read())) as Awaited<ReturnType<typeof group.read>>;
  expect(state.instances).toEqual([
    expect.objectContaining({ instance: 'f', handled: 0, failed: 3, state: 'dead', host: 'h' }),
  ]);
  expect(state.terms).toEqual([]);
  expect(state.messages.generated).toBe(0);
  expect(state.instances[0]).not.toHaveProperty('board');
});

it('shows the last failure of each role until others have led the role for long enough', async () => {
  const now = Date.now();
  const failure = (retryAt: number) => ({
    ...{ name: 'TypeError', message: 'no map', stack: 'TypeError: no map\n    at generate (task.mjs:1:2)' },
    ...{ since: now - 5000, retryAt },
  });
  const roles = (role: string, retryAt: number) => [{ role, state: 'failed', failure: failure(retryAt) }];
  await connected('a', () =>
    connected('b', async () => {
      await report('a', { roles: roles('generator', now + 1000) });
      await report('b', { roles: roles('generator', now + 2000) });
      // From a dead instance, and for a role that does not exist.
      await report('dead', { roles: roles('generator', now + 9000) });
      const shown = { role: 'generator', source: null, name: 'TypeError', text: 'no map' };
      expect((await group.read()).failures).toEqual([
        {
          ...{ ...shown, instance: 'b', leader: null, since: now - 5000, retryAt: now + 2000 },
          stack: '    at generate (task.mjs:1:2)',
        },
      ]);
      await takeTerm(redis.client, keys, role, 'a');
      await leases.lease(role.keys.lease).acquire();
      expect((await group.read()).failures).toEqual([
        expect.objectContaining({ instance: 'b', leader: 'a' }),
      ]);
      await report('a', {});
      await report('b', { roles: roles('generator', now - 3_600_000) });
      expect((await group.read()).failures).toEqual([]);
    }),
  );
});

it('returns an error in full, with its causes, bounded in number and size', async () => {
  const nested = { name: 'Error', message: 'm'.repeat(4000), stack: 's'.repeat(4000) };
  const error = {
    ...{
      name: 'TypeError',
      message: 'fetch failed',
      stack: 'TypeError: fetch failed\n    at handle (t.mjs:1:1)',
    },
    cause: {
      ...{ name: 'AggregateError', message: 'refused', stack: '', code: 'ECONNREFUSED' },
      errors: Array.from({ length: 100 }, () => nested),
    },
  };
  const record = { id: '1', message: { n: 1 }, error, attempts: 1, failedAt: 'then', instance: 'a' };
  await redis.client.hset(keys.errors, {
    1: JSON.stringify(record),
    2: 'x'.repeat(2_000_000),
    3: 'nonsense',
  });
  const details = (await group.details('1'))!;
  expect(details.data).toBe('{\n  "n": 1\n}');
  expect(
    details.chain.slice(0, 3).map(({ relation, depth, name, code }) => [relation, depth, name, code]),
  ).toEqual([
    ['', 0, 'TypeError', ''],
    ['caused by', 1, 'AggregateError', 'ECONNREFUSED'],
    ['error 1 of 100', 2, 'Error', ''],
  ]);
  expect(details.chain[0]!.stack).toBe('    at handle (t.mjs:1:1)');
  expect(JSON.stringify(details).length).toBeLessThan(60_000);
  expect((await group.details('2'))!.note).toMatch(/too large/);
  expect((await group.details('3'))!.note).toMatch(/not a valid error record/);
  expect(await group.details('4')).toBeUndefined();
});

it('says so when the queue is paused', async () => {
  await queue.pause();
  expect((await group.read()).messages.paused).toBe(true);
  await queue.resume();
  expect((await group.read()).messages.paused).toBe(false);
});
