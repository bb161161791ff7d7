import { keysOf } from '../../src/keys';
import { generatorRole } from '../../src/leadership/role';
import { readLeader, markEnd, takeTerm, type TermEntry, parseTerms } from '../../src/leadership/term';
import { ELECTED, killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  await killAll();
  await redis.client.flushall();
});

afterAll(() => redis.stop());

const role = generatorRole(keys);
const take = (instance: string, sinceRenewalMs?: number) =>
  takeTerm(redis.client, keys, role, instance, sinceRenewalMs);
const mark = (instance: string, term: number, cause: 'crash' | 'hand-over', agoMs = 0, note = '') =>
  markEnd(redis.client, role.keys, { instance, term, cause, note, agoMs });
const history = async () => parseTerms(await redis.client.lrange(keys.source().terms, 0, -1));
const newest = async () => (await history())[0]!;

async function redisNow(): Promise<number> {
  const [seconds, microseconds] = await redis.client.time();
  return Number(seconds) * 1000 + Number(microseconds) / 1000;
}

/** A report in the form that a heartbeat stores. */
const seenAgo = async (instance: string, ms: number) =>
  redis.client.hset(keys.instances, instance, `{"seen":${Math.floor(await redisNow()) - ms},"host":"h"}`);

describe('the history of terms', () => {
  it('begins with the first term, timed by the clock of Redis', async () => {
    const before = await redisNow();
    expect(await take('a')).toEqual({ term: 1, cause: 'first' });
    const entry = await newest();
    expect(entry).toEqual({ term: 1, instance: 'a', since: expect.any(Number) as number, cause: 'first' });
    expect(entry.since).toBeGreaterThanOrEqual(Math.floor(before));
    expect(entry.since).toBeLessThanOrEqual(await redisNow());
  });

  it('records a handover and the time without a leader', async () => {
    await take('a');
    await mark('a', 1, 'hand-over', 40, 'generating failed');
    await take('b');
    expect(await newest()).toMatchObject({
      term: 2,
      instance: 'b',
      cause: 'hand-over',
      note: 'generating failed',
    });
    expect((await newest()).vacantMs).toBeGreaterThanOrEqual(40);
    expect((await newest()).vacantMs).toBeLessThan(2000);
  });

  it('keeps the first report of how a term ended', async () => {
    await take('a');
    await mark('a', 1, 'crash', 300);
    await mark('a', 1, 'hand-over');
    await take('b');
    expect(await newest()).toMatchObject({ cause: 'crash' });
    expect((await newest()).vacantMs).toBeGreaterThanOrEqual(300);
  });

  it('ignores reports about a term that is not the newest or belongs to another instance', async () => {
    await take('a');
    await take('b');
    await mark('a', 1, 'hand-over');
    await mark('a', 2, 'hand-over');
    expect(await redis.client.exists(keys.source().ended)).toBe(0);
    // The end of an earlier term says nothing about this one.
    await mark('b', 2, 'crash');
    await take('c');
    await take('d');
    expect((await history()).map(({ cause }) => cause)).toEqual(['silence', 'crash', 'silence', 'first']);
  });

  it('measures silence from the last heartbeat or lease renewal', async () => {
    await take('a');
    await seenAgo('a', 4000);
    await take('b');
    expect((await newest()).vacantMs).toBeGreaterThanOrEqual(4000);
    expect((await newest()).vacantMs).toBeLessThan(5000);
    await seenAgo('b', 4000);
    await take('c', 2500);
    expect((await newest()).vacantMs).toBe(2500);
    await take('d', 900.4);
    expect((await newest()).vacantMs).toBe(900);
    // If neither is known, no value is invented.
    await take('e');
    expect(await newest()).toEqual({
      term: 5,
      instance: 'e',
      since: expect.any(Number) as number,
      cause: 'silence',
    });
  });

  it('keeps the last fifty terms', async () => {
    for (let term = 1; term <= 53; term++) await take(`i${term}`);
    const terms = await history();
    expect([terms.length, terms[0]?.term, terms.at(-1)?.term]).toEqual([50, 53, 4]);
  });

  it('leaves the fencing record in its documented form, and has no other writer', async () => {
    await take('a');
    const watching = redis.client.duplicate();
    await watching.watch(keys.source().leader);
    await mark('a', 1, 'hand-over');
    // If the record had been written to, this would be refused, like a commit.
    expect(await watching.multi().set('x', '1').exec()).not.toBeNull();
    watching.disconnect();
    expect(Object.keys(await redis.client.hgetall(keys.source().leader)).sort()).toEqual([
      'instance',
      'since',
      'term',
    ]);
  });

  it('does not prevent elections, whatever data is in its place', async () => {
    for (const key of [keys.source().ended, keys.source().terms, keys.instances])
      await redis.client.set(key, 'nonsense');
    expect(await take('a')).toMatchObject({ term: 1 });
    expect(await take('b')).toMatchObject({ term: 2 });
    expect(await readLeader(redis.client, keys.source())).toMatchObject({ instance: 'b', term: 2 });

    await redis.client.del(keys.source().ended, keys.source().terms, keys.instances);
    await redis.client.rpush(keys.source().terms, 'nonsense', '[1]', 'null', '{"term":"2"}');
    await redis.client.hset(keys.source().ended, { term: '2', cause: '<b>', at: 'never' });
    // Terms are counted by cause, so foreign data must not add causes.
    expect(await take('"c\\')).toEqual({ term: 3, cause: 'silence' });
    // An invalid entry is not shown either.
    expect(await history()).toEqual([]);
  });
});

describe('real instances', () => {
  const group = () => ({
    REDISURL: redis.url,
    DEMO_INTERVAL_MS: '50',
    DEMO_HANDLE_MS: '20',
    LEASE_TTL_MS: '1500',
  });
  const leads = async (instance: string, term: number): Promise<TermEntry> =>
    waitFor(
      async () => (await history()).find((each) => each.term === term && each.instance === instance),
      `term ${term}`,
    );

  it('record a crash, a stop and a silence as such', async () => {
    const a = startInstance({ ...group(), INSTANCE_NAME: 'a' });
    await a.logged(ELECTED);
    const b = startInstance({ ...group(), INSTANCE_NAME: 'b' });
    await b.logged('following');
    a.signal('SIGKILL');
    const crash = await leads('b', 2);
    expect(crash).toMatchObject({ cause: 'crash' });
    // Measured from the last poll that saw it: never too short, and too long by at most one poll.
    expect(crash.vacantMs).toBeGreaterThan(0);
    expect(crash.vacantMs).toBeLessThan(1200);

    const c = startInstance({ ...group(), INSTANCE_NAME: 'c' });
    await c.logged('following');
    b.signal('SIGTERM');
    const handOver = await leads('c', 3);
    expect(handOver.cause).toBe('hand-over');
    expect(handOver.vacantMs).toBeLessThan(700);
    await b.exited;

    const d = startInstance({ ...group(), INSTANCE_NAME: 'd' });
    await d.logged('following');
    c.signal('SIGSTOP');
    const silence = await leads('d', 4);
    expect(silence.cause).toBe('silence');
    // It renews every third of its lease.
    expect(silence.vacantMs).toBeGreaterThan(900);
    expect(silence.vacantMs).toBeLessThan(3500);
  });
});
