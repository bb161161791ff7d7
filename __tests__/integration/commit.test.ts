import { setMaxListeners } from 'node:events';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { DeposedError } from '../../src/errors';
import { keysOf } from '../../src/keys';
import type { Logger } from '../../src/logging/logger';
import { generatorRole } from '../../src/leadership/role';
import { takeTerm } from '../../src/leadership/term';
import { batchLimits, encodeBatch } from '../../src/generating/batch';
import { Committer, type CommitterOptions } from '../../src/generating/committer';
import type { Position } from '../../src/generating/position';
import { RedisConnector } from '../../src/redis/connector';
import { parseRedisUrl } from '../../src/redis/address';
import { history } from '../helpers/history';
import { startProxy } from '../../testkit/proxy.cjs';
import { silentLogger } from '../helpers/silentLogger';
import { DURABLE, type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
const START: Position = { generated: 0, cursorJson: undefined };

let redis: RedisServer;
let ending: AbortController;
let connections: Redis[];

beforeEach(async () => {
  redis = await startRedis(DURABLE);
  ending = new AbortController();
  // Eight committers wait for the same connection.
  setMaxListeners(0, ending.signal);
  connections = [];
});

afterEach(async () => {
  ending.abort();
  await redis.stop();
});

async function lead(instance = 'a', overrides: Partial<CommitterOptions> = {}): Promise<Committer> {
  const { term: number } = await takeTerm(redis.client, keys, generatorRole(keys), instance);
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.source().lease });
  return new Committer({
    async connect() {
      const client = await connector.connect('commit');
      connections.push(client);
      return client;
    },
    keys,
    source: keys.source(),
    jobName: 'message',
    instance,
    term: { number, signal: ending.signal, isTrusted: () => true },
    jobOptions: {},
    maxBacklog: 1000,
    logger: silentLogger,
    ...overrides,
  });
}

const encode = (messages: unknown[], cursor: unknown) => encodeBatch({ messages, cursor }, batchLimits(5000));
const batch = (...messages: number[]) => encode(messages, messages.at(-1) ?? 'moved');
const queued = async () => (await history<number>(redis.client)).map(({ message }) => message);
const stored = async () => redis.client.hgetall(keys.source().cursor);

it('a batch, its cursor and the count are written together, in order, under consecutive ids', async () => {
  const committer = await lead();
  expect(await committer.position()).toMatchObject(START);
  const first = await committer.commit(START, batch(1, 2, 3));
  expect(first).toMatchObject({ outcome: 'committed', position: { generated: 3, cursorJson: '3' } });
  const second = await committer.commit({ generated: 3, cursorJson: '3' }, batch(4));
  expect(second.outcome).toBe('committed');
  expect(await history(redis.client)).toEqual([1, 2, 3, 4].map((n) => ({ id: n, message: n })));
  expect(await stored()).toEqual({ cursor: '4', generated: '4', term: '1' });
});

it('an empty batch moves only the cursor', async () => {
  const committer = await lead();
  expect((await committer.commit(START, batch())).outcome).toBe('committed');
  expect(await stored()).toEqual({ cursor: '"moved"', generated: '0', term: '1' });
  expect(await queued()).toEqual([]);
});

it('every JSON value survives as a message and as a cursor', async () => {
  const values = [null, 0, '', false, [], {}, 'ünïcödé 💥 \u0000 \ud800', { a: [{ b: null }] }];
  const committer = await lead();
  let position = START;
  for (const value of values) {
    const result = await committer.commit(position, encode([value], value));
    if (result.outcome !== 'committed') throw new Error(result.outcome);
    position = result.position;
    expect((await committer.position()).cursorJson).toBe(JSON.stringify(value));
  }
  expect((await history(redis.client)).map(({ message }) => message)).toEqual(values);
});

it('a deposed leader cannot commit, even within the same process and connection', async () => {
  const committer = await lead('a');
  await committer.commit(START, batch(1));
  await takeTerm(redis.client, keys, generatorRole(keys), 'b');
  await expect(committer.commit({ generated: 1, cursorJson: '1' }, batch(2))).rejects.toThrow(DeposedError);
  expect(await queued()).toEqual([1]);
});

it('a term that was taken between the fence and the EXEC makes Redis refuse the EXEC', async () => {
  // Called right before the EXEC is sent, where a process could be paused for long.
  let takeover: Promise<unknown> = Promise.resolve();
  const committer = await lead('a', {
    term: {
      number: 1,
      signal: ending.signal,
      isTrusted: () => {
        takeover = takeTerm(redis.client, keys, generatorRole(keys), 'b');
        blockFor(50);
        return true;
      },
    },
  });
  // The takeover is sent before the EXEC.
  await redis.client.ping();
  await expect(committer.commit(START, batch(1))).rejects.toThrow(DeposedError);
  expect(await takeover).toMatchObject({ term: 2 });
  expect(await queued()).toEqual([]);
});

it('nothing is sent once the trust deadline has passed', async () => {
  const committer = await lead('a', { term: { number: 1, signal: ending.signal, isTrusted: () => false } });
  await expect(committer.commit(START, batch(1))).rejects.toThrow(DeposedError);
  expect(await queued()).toEqual([]);
});

it('the same term number held by another instance does not pass the fence', async () => {
  // A Redis that has failed over can assign a term a second time.
  const committer = await lead('a');
  await redis.client.hset(keys.source().leader, { instance: 'b', term: 1 });
  await expect(committer.commit(START, batch(1))).rejects.toThrow(DeposedError);
});

it('a position that Redis has lost is distinguished from one that it still has', async () => {
  const committer = await lead();
  await committer.commit(START, batch(1, 2));
  await redis.client.hset(keys.source().cursor, { generated: 1, cursor: '1' });
  const result = await committer.commit({ generated: 2, cursorJson: '2' }, batch(3));
  expect(result.outcome).toBe('diverged');
  expect(await queued()).toEqual([1, 2]);
});

it('nothing is committed while the backlog is full', async () => {
  const committer = await lead('a', { maxBacklog: 2 });
  const first = await committer.commit(START, batch(1, 2));
  expect(first.outcome).toBe('committed');
  expect(await committer.commit({ generated: 2, cursorJson: '2' }, batch(3))).toEqual({ outcome: 'full' });
  await redis.client.lpop(keys.waiting);
  expect((await committer.commit({ generated: 2, cursorJson: '2' }, batch(3))).outcome).toBe('committed');
});

it('a flushed script cache does no harm', async () => {
  const committer = await lead();
  await committer.commit(START, batch(1));
  await redis.client.script('FLUSH');
  const result = await committer.commit({ generated: 1, cursorJson: '1' }, batch(2, 3));
  expect(result).toMatchObject({ outcome: 'committed', position: { generated: 3, cursorJson: '3' } });
  expect(await queued()).toEqual([1, 2, 3]);
});

it('a connection that is cut during commits loses and duplicates nothing', async () => {
  const committer = await lead();
  const last = 400;
  const cutting = (async () => {
    for (let cut = 0; cut < 25; cut++) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
      connections.at(-1)?.stream.destroy();
    }
  })();
  let position = START;
  for (let n = 1; n <= last; n += 2) {
    const result = await committer.commit(position, batch(n, n + 1));
    if (result.outcome !== 'committed') throw new Error(result.outcome);
    position = result.position;
  }
  await cutting;
  expect(connections.length).toBeGreaterThan(3);
  expect(await queued()).toEqual(Array.from({ length: last }, (_, index) => index + 1));
});

it('an EXEC whose answer was lost is not sent again if it was executed', async () => {
  const proxy = await startProxy(redis.port);
  try {
    const committer = await lead('a', {
      connect: () =>
        new RedisConnector({ address: parseRedisUrl(proxy.url), key: keys.source().lease }).connect('commit'),
      term: {
        number: 1,
        signal: ending.signal,
        // Right before the EXEC is sent: the EXEC arrives, but its answer does not.
        isTrusted: () => {
          proxy.blackhole('responses');
          return true;
        },
      },
    });
    const committing = committer.commit(START, batch(1, 2));
    await waitFor(
      async () => (await redis.client.hget(keys.source().cursor, 'generated')) === '2',
      'the EXEC',
    );
    proxy.heal();
    expect(await committing).toMatchObject({
      outcome: 'committed',
      position: { generated: 2, cursorJson: '2' },
    });
    expect(await queued()).toEqual([1, 2]);
  } finally {
    await proxy.close();
  }
});

it('an EXEC that is delayed in transit is refused after the batch was committed again', async () => {
  const proxy = await startProxy(redis.port);
  try {
    let through: string = proxy.url;
    const committer = await lead('a', {
      connect: () =>
        new RedisConnector({ address: parseRedisUrl(through), key: keys.source().lease }).connect('commit'),
      term: {
        number: 1,
        signal: ending.signal,
        isTrusted: () => {
          if (through === redis.url) return true;
          // The EXEC stays in the proxy while the client considers the connection broken and opens another.
          proxy.hold();
          through = redis.url;
          setTimeout(() => proxy.cutClients(), 20);
          return true;
        },
      },
    });
    expect((await committer.commit(START, batch(1, 2))).outcome).toBe('committed');
    await proxy.release();
    await redis.client.ping();
    expect(await queued()).toEqual([1, 2]);
    expect(await stored()).toMatchObject({ generated: '2' });
  } finally {
    await proxy.close();
  }
});

it('a Redis that is out of memory refuses a batch as a whole, and accepts it when memory is free again', async () => {
  const committer = await lead();
  await redis.client.config('SET', 'maxmemory', '1');
  const committing = committer.commit(START, batch(1, 2, 3));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await redis.client.config('SET', 'maxmemory', '0');
  expect((await committing).outcome).toBe('committed');
  expect(await queued()).toEqual([1, 2, 3]);
});

it('a Redis that is killed while a commit is waiting executes the commit when it is back', async () => {
  const committer = await lead();
  await committer.position();
  await redis.kill();
  const committing = committer.commit(START, batch(1, 2));
  await redis.restart();
  expect((await committing).outcome).toBe('committed');
  expect(await queued()).toEqual([1, 2]);
});

it('the end of the term aborts a commit that is waiting for Redis', async () => {
  const committer = await lead();
  await committer.position();
  await redis.kill();
  const committing = committer.commit(START, batch(1));
  setImmediate(() => ending.abort());
  await expect(committing).rejects.toThrow(DeposedError);
});

function blockFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

it('a job is stored exactly as BullMQ stores it', async () => {
  const jobOptions = {
    removeOnComplete: { count: 5 },
    attempts: 3,
    backoff: { type: 'exponential', delay: 9 },
  };
  const committer = await lead('a', { jobOptions, jobName: 'orders' });
  const message = { text: 'ü', list: [1, null] };
  await committer.commit(START, encode([message], 1));
  const queue = new Queue('messages', {
    connection: redis.client,
    prefix: keys.queuePrefix,
    skipMetasUpdate: true,
  });
  await queue.add('orders', message, jobOptions);
  const [ours, theirs] = await Promise.all(['1', '2'].map((id) => redis.client.hgetall(keys.job(id))));
  expect({ ...ours, timestamp: 0 }).toEqual({ ...theirs, timestamp: 0 });
  const events = (await redis.client.xrange(keys.events, '-', '+')).map(([, fields]) => fields.join(' '));
  expect(events.slice(0, 2).map((text) => text.replace('jobId 1', 'jobId 2'))).toEqual(events.slice(2));
});

it('nothing is committed while generation is paused, not even by an EXEC in transit', async () => {
  let pausing: Promise<unknown> | undefined;
  const pause = () => redis.client.hset(keys.paused, 'generating', '{}');
  const term = {
    number: 1,
    signal: ending.signal,
    // Right before the EXEC is sent.
    isTrusted() {
      pausing ??= pause();
      blockFor(30);
      return true;
    },
  };
  const committer = await lead('a', { term });
  await redis.client.ping();
  expect(await committer.commit(START, batch(1))).toMatchObject({ outcome: 'paused' });
  expect(await committer.commit(START, batch(1))).toMatchObject({ outcome: 'paused' });
  await redis.client.del(keys.paused);
  expect((await committer.commit(START, batch(1))).outcome).toBe('committed');
  expect(await queued()).toEqual([1]);
});

it('a source is paused by its own field and by the field for all sources', async () => {
  const source = keys.source('left');
  const committer = new Committer({ ...(await optionsOf('left')) });
  await redis.client.hset(keys.paused, 'generating:right', '{}');
  const first = await committer.commit(START, batch(1));
  if (first.outcome !== 'committed') throw new Error(first.outcome);
  await redis.client.hset(keys.paused, 'generating:left', '{}');
  expect((await committer.commit(first.position, batch(2))).outcome).toBe('paused');
  await redis.client.hdel(keys.paused, 'generating:left');
  await redis.client.hset(keys.paused, 'generating', '{}');
  expect((await committer.commit(first.position, batch(2))).outcome).toBe('paused');
  expect(await redis.client.hget(source.cursor, 'generated')).toBe('1');
});

it('a position is used once: a second commit from it is refused', async () => {
  const committer = await lead();
  const first = await committer.commit(START, batch(1));
  if (first.outcome !== 'committed') throw new Error(first.outcome);
  expect((await committer.commit(first.position, batch(2))).outcome).toBe('committed');
  expect((await committer.commit(first.position, batch(3))).outcome).toBe('diverged');
  expect(await queued()).toEqual([1, 2]);
});

it.each([
  ['a stream of the wrong type', (client: Redis) => client.set(keys.events, 'x'), /:events is a string, expected a stream/], // prettier-ignore
  ['a cursor hash of the wrong type', (client: Redis) => client.set(keys.source().cursor, 'x'), /:cursor is a string, expected a hash/], // prettier-ignore
  ['a count that is no number', (client: Redis) => client.hset(keys.source().cursor, 'generated', 'many'), /field generated is "many", expected a whole number/], // prettier-ignore
  ['a cursor that is not JSON', (client: Redis) => client.hset(keys.source().cursor, 'cursor', 'page 5'), /field cursor is "page 5", expected JSON.*"cursor reset"/], // prettier-ignore
])(
  '%s is reported once, with the remedy, and generating continues once it is repaired',
  async (_, spoil, expected) => {
    const lines: string[] = [];
    const log = (text: string) => void lines.push(text);
    const logger: Logger = { error: log, warn: () => undefined, info: log, debug: log, child: () => logger };
    const committer = await lead('a', { logger });
    await spoil(redis.client);
    const committing = committer.position().then((position) => committer.commit(position, batch(1)));
    await waitFor(() => committer.problem, 'the problem');
    const attempts = connections.length;
    await waitFor(() => connections.length > attempts + 1, 'further attempts');
    expect(committer.problem).toMatch(expected);
    expect(committer.waitingMs).toBeGreaterThan(0);
    expect(lines).toEqual([expect.stringMatching(expected)]);
    await redis.client.del(keys.events, keys.source().cursor);
    expect((await committing).outcome).toBe('committed');
    expect(committer.problem).toBeUndefined();
    expect(committer.waitingMs).toBe(0);
  },
);

it('eight sources commit concurrently without loss or duplicates, each in order, whatever is cut', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  const sources = names.map((name, index) => ({ name, base: index * 1_000_000 }));
  const cutting = new AbortController();
  const cut = (async () => {
    while (!cutting.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
      connections[Math.floor(Math.random() * connections.length)]?.stream.destroy();
      if (Math.random() < 0.1) await redis.client.script('FLUSH');
    }
  })();
  let done = 0;
  const total = 400;
  await Promise.all(
    sources.map(async ({ name, base }) => {
      const committer = new Committer(await optionsOf(name));
      let position = await committer.position();
      for (let n = 0; n < total;) {
        const size = Math.min(total - n, Math.floor(Math.random() * 12));
        const messages = Array.from({ length: size }, (_, index) => base + n + index + 1);
        const result = await committer.commit(position, encode(messages, n + size));
        if (result.outcome !== 'committed') throw new Error(result.outcome);
        position = result.position;
        n += size;
      }
      if (++done === sources.length) cutting.abort();
    }),
  );
  await cut;
  const all = await queued();
  expect(all).toHaveLength(total * sources.length);
  for (const { name, base } of sources) {
    const own = all.filter((n) => n > base && n <= base + total);
    expect(own).toEqual(Array.from({ length: total }, (_, index) => base + index + 1));
    expect(await redis.client.hgetall(keys.source(name).cursor)).toEqual({
      ...{ cursor: String(total), generated: String(total), term: '1' },
    });
  }
  expect(await redis.client.llen(keys.waiting)).toBe(total * sources.length);
});

async function optionsOf(sourceName: string): Promise<CommitterOptions> {
  const source = keys.source(sourceName);
  const { term: number } = await takeTerm(redis.client, keys, generatorRole(keys, sourceName), sourceName);
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.source().lease });
  return {
    async connect() {
      const client = await connector.connect('commit');
      connections.push(client);
      return client;
    },
    ...{ keys, source, sourceName, jobName: sourceName, instance: sourceName },
    term: { number, signal: ending.signal, isTrusted: () => true },
    ...{ jobOptions: {}, maxBacklog: 1_000_000, logger: silentLogger },
  };
}
