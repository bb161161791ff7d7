import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { keysOf } from '../../src/keys';
import { startFeedServer } from '../helpers/feedServer';
import { history, upTo } from '../helpers/history';
import { type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { DURABLE, type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const TASK = resolve('__tests__/fixtures/sourcesTask.mjs');
/** The default. */
const LEASE_TTL_MS = 5000;

let redis: RedisServer;
let count = 0;
/** Returns a new namespace for each test. */
let namespace: string;
let instances: InstanceProcess[];

beforeAll(async () => {
  redis = await startRedis(DURABLE);
});

beforeEach(() => {
  namespace = `sources${++count}`;
  instances = [];
});

afterEach(killAll);

afterAll(() => redis.stop());

function start(env: Record<string, string>) {
  const instance = startInstance({
    REDISURL: redis.url,
    NAMESPACE: namespace,
    KEEP_COMPLETED: '100000',
    ...env,
  });
  instances.push(instance);
  return instance;
}

/** Returns which instance leads each source, and since which term. */
async function leaders() {
  const roles = await redis.client.hgetall(keysOf(namespace).roles);
  return new Map(
    Object.entries(roles).flatMap(([role, held]) => {
      const [term, instance] = held.split(' ');
      const name = role.split(':')[1];
      return name === undefined ? [] : [[name, { term: Number(term), instance: instance! }] as const];
    }),
  );
}

/** Returns the term of the last commit of each source. */
async function committed(sources: readonly string[]) {
  const terms = await Promise.all(
    sources.map((name) => redis.client.hget(keysOf(namespace).source(name).cursor, 'term')),
  );
  return new Map(sources.map((name, index) => [name, Number(terms[index] ?? 0)]));
}

async function spread(sources: readonly string[]) {
  const led = await leaders();
  const names = sources.map((name) => led.get(name)?.instance);
  return instances.map(({ name }) => names.filter((other) => other === name).length).sort();
}

async function numbersBySource() {
  const numbers = new Map<string, number[]>();
  for (const { message } of await history<{ source: string; number: number }>(redis.client, namespace)) {
    numbers.set(message.source, [...(numbers.get(message.source) ?? []), message.number]);
  }
  return numbers;
}

it('all sources of a killed instance resume at once, and failing sources do not disturb the others', async () => {
  const counting = ['a', 'b', 'c', 'd', 'e', 'f'];
  const env = { TASK, SOURCES: [...counting, 'hangs', 'throws'].join(',') };
  for (let n = 0; n < 3; n++) start(env);
  // `throws` does not count, since it keeps moving between instances.
  const isEven = async () => (await spread([...counting, 'hangs'])).join() === '2,2,3';
  await waitFor(isEven, 'the sources to be spread', 15_000);
  await waitFor(async () => [...(await committed(counting)).values()].every((term) => term > 0), 'commits');
  const before = await leaders();
  const victim = instances.find(({ name }) => name === before.get('a')!.instance)!;
  const orphans = counting.filter((name) => before.get(name)!.instance === victim.name);
  const killedAt = performance.now();
  victim.signal('SIGKILL');
  const isBack = async (name: string) => (await committed([name])).get(name)! > before.get(name)!.term;
  const tookMs = await Promise.all(
    orphans.map(async (name) => {
      await waitFor(() => isBack(name), `${name} to generate again`);
      return performance.now() - killedAt;
    }),
  );
  // About 100 ms are usual (npm run bench), and a second while other tests run. Without crash detection, the lease would have
  // to expire.
  expect(Math.max(...tookMs)).toBeLessThan(LEASE_TTL_MS / 2);
  const after = await leaders();
  for (const name of counting.filter((each) => !orphans.includes(each)))
    expect(after.get(name)).toEqual(before.get(name));
  const numbers = await numbersBySource();
  for (const name of counting) expect(numbers.get(name)).toEqual(upTo(numbers.get(name)!.length));
  expect(numbers.has('throws') || numbers.has('hangs')).toBe(false);
});

it('a joining instance gets its share with the minimum number of moves', async () => {
  const sources = upTo(8).map((n) => `s${n}`);
  const env = { TASK, SOURCES: sources.join(',') };
  start(env);
  await waitFor(async () => (await leaders()).size === 8, 'all to be led');
  const before = await leaders();
  await start(env).started();
  await waitFor(async () => (await spread(sources)).join() === '4,4', 'an even spread', 10_000);
  const after = await leaders();
  const moved = sources.filter((name) => after.get(name)!.instance !== before.get(name)!.instance);
  expect(moved).toHaveLength(4);
  for (const name of sources) {
    const terms = after.get(name)!.term - before.get(name)!.term;
    expect(terms).toBe(moved.includes(name) ? 1 : 0);
  }
});

it('instances campaign only for sources that they know, and an instance that must not generate for none', async () => {
  const old = start({ TASK, SOURCES: 'a,b' });
  const newer = start({ TASK, SOURCES: 'b,c' });
  start({ TASK, SOURCES: 'a,b,c', CAN_GENERATE: 'false' });
  await waitFor(async () => (await leaders()).size === 3, 'all to be led');
  const led = await leaders();
  expect(led.get('a')!.instance).toBe(old.name);
  expect(led.get('c')!.instance).toBe(newer.name);
  expect([old.name, newer.name]).toContain(led.get('b')!.instance);
  newer.signal('SIGTERM');
  await waitFor(async () => (await leaders()).get('b')!.instance === old.name, 'b to be taken over');
});

it('commands with --source act on that source alone, and the others continue in their terms', async () => {
  const sources = ['a', 'b', 'c'];
  for (let n = 0; n < 2; n++) start({ TASK, SOURCES: sources.join(',') });
  await waitFor(async () => [...(await committed(sources)).values()].every((term) => term > 0), 'commits');
  // The balance is checked after 3 s of calm; from then on nothing moves by itself.
  await waitFor(async () => (await spread(sources)).join() === '1,2', 'the sources to be spread', 10_000);
  const before = await leaders();
  const operate = async (...args: string[]) => {
    const { code, stderr } = await runCommand(args, { REDISURL: redis.url, NAMESPACE: namespace });
    if (code !== 0) throw new Error(stderr);
  };
  const position = async (name: string) =>
    Number(await redis.client.hget(keysOf(namespace).source(name).cursor, 'generated'));
  const moves = async (name: string) => {
    const from = await position(name);
    await waitFor(async () => (await position(name)) > from + 5, `${name} to generate`);
  };

  await operate('pause', '--source', 'a');
  const paused = await position('a');
  await Promise.all([moves('b'), moves('c')]);
  expect(await position('a')).toBe(paused);
  await operate('cursor', 'set', '1000', '--source', 'a');
  await operate('resume', '--source', 'a');
  await moves('a');
  await operate('handover', '--source', 'b');
  const wasHandedOver = async () => {
    const now = (await leaders()).get('b')?.instance;
    return now !== undefined && now !== before.get('b')!.instance;
  };
  await waitFor(wasHandedOver, 'b to be handed over');

  // Three seconds later the balance can move a source.
  const after = await leaders();
  expect(after.get('a')!.term).toBeGreaterThan(before.get('a')!.term);
  expect(after.get('c')).toEqual(before.get('c'));
  await moves('b');
  const numbers = await numbersBySource();
  const ofA = numbers.get('a')!;
  expect(ofA).toEqual([...upTo(paused), ...upTo(ofA.length - paused).map((n) => 1000 + n)]);
  for (const name of ['b', 'c']) expect(numbers.get(name)).toEqual(upTo(numbers.get(name)!.length));
});

describe('the examples', () => {
  let directory: string;

  beforeAll(() => (directory = mkdtempSync(join(tmpdir(), 'nic-sources-'))));

  afterAll(() => rmSync(directory, { recursive: true }));

  const write = (name: string, lines: readonly string[]) => {
    const file = join(directory, name);
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
    return file;
  };

  async function messages<Message>(expected: number) {
    const all = () => history<Message>(redis.client, namespace);
    await waitFor(async () => (await all()).length >= expected, `${expected} messages`, 10_000);
    return (await all()).map(({ message }) => message);
  }

  it('lines reads several files and numbers the lines of each separately', async () => {
    const files = [write('a.log', ['one', 'two']), write('b.log', ['eins'])];
    for (let n = 0; n < 2; n++) start({ TASK: resolve('examples/lines.mjs'), FILE: files.join(',') });
    const found = await messages<{ source: string; number: number; text: string }>(3);
    expect(found.map(({ source, number, text }) => `${source} ${number} ${text}`).sort()).toEqual([
      'a_log 1 one',
      'a_log 2 two',
      'b_log 1 eins',
    ]);
  });

  it('accessLog reads several logs', async () => {
    const line = '192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "-"';
    const files = [write('east.log', [line]), write('west.log', [line, line])];
    start({ TASK: resolve('examples/accessLog.mjs'), FILE: files.join(',') });
    const found = await messages<{ source: string }>(3);
    expect(found.map(({ source }) => source).sort()).toEqual(['east_log', 'west_log', 'west_log']);
  });

  it('feed reads several feeds', async () => {
    const servers = await Promise.all(
      ['x', 'y'].map((id) =>
        startFeedServer((_request, response) =>
          response.end(
            `<rss version="2.0"><channel><title>${id}</title><item><guid>${id}</guid><title>${id}</title></item></channel></rss>`,
          ),
        ),
      ),
    );
    try {
      start({ TASK: resolve('examples/feed.mjs'), URL: servers.map(({ url }) => url).join(',') });
      const found = await messages<{ id: string; source: string }>(2);
      expect(found.map(({ id }) => id).sort()).toEqual(['x', 'y']);
      expect(new Set(found.map(({ source }) => source)).size).toBe(2);
    } finally {
      await killAll();
      await Promise.all(servers.map((server) => server.stop()));
    }
  });
});
