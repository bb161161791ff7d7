import type { Redis } from 'ioredis';
import { DeposedError } from '../../src/errors';
import { keysOf } from '../../src/keys';
import { takeTerm } from '../../src/leadership/term';
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
  connections = [];
});

afterEach(async () => {
  ending.abort();
  await redis.stop();
});

async function lead(instance = 'a', overrides: Partial<CommitterOptions> = {}): Promise<Committer> {
  const { term: number } = await takeTerm(redis.client, keys, instance);
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.lease });
  return new Committer({
    async connect() {
      const client = await connector.connect('commit');
      connections.push(client);
      return client;
    },
    keys,
    instance,
    term: { number, signal: ending.signal, isTrusted: () => true },
    jobOptions: {},
    maxBacklog: 1000,
    logger: silentLogger,
    ...overrides,
  });
}

const batch = (...messages: number[]) => ({
  messages,
  cursorJson: JSON.stringify(messages.at(-1) ?? 'moved'),
});
const queued = async () => (await history<number>(redis.client)).map(({ message }) => message);
const stored = async () => redis.client.hgetall(keys.cursor);

it('a batch, its cursor and the count are there together, in order, under ids that count on', async () => {
  const committer = await lead();
  expect(await committer.position()).toMatchObject(START);
  const first = await committer.commit(START, batch(1, 2, 3));
  expect(first).toEqual({ outcome: 'committed', position: { generated: 3, cursorJson: '3' } });
  const second = await committer.commit({ generated: 3, cursorJson: '3' }, batch(4));
  expect(second.outcome).toBe('committed');
  expect(await history(redis.client)).toEqual([1, 2, 3, 4].map((n) => ({ id: n, message: n })));
  expect(await stored()).toEqual({ cursor: '4', generated: '4', term: '1' });
});

it('an empty batch moves the cursor alone', async () => {
  const committer = await lead();
  expect((await committer.commit(START, batch())).outcome).toBe('committed');
  expect(await stored()).toEqual({ cursor: '"moved"', generated: '0', term: '1' });
  expect(await queued()).toEqual([]);
});

it('every JSON value comes through as a message and as a cursor', async () => {
  const values = [null, 0, '', false, [], {}, 'ünïcödé 💥 \u0000 \ud800', { a: [{ b: null }] }];
  const committer = await lead();
  let position = START;
  for (const value of values) {
    const result = await committer.commit(position, { messages: [value], cursorJson: JSON.stringify(value) });
    if (result.outcome !== 'committed') throw new Error(result.outcome);
    position = result.position;
    expect((await committer.position()).cursorJson).toBe(JSON.stringify(value));
  }
  expect((await history(redis.client)).map(({ message }) => message)).toEqual(values);
});

it('a deposed leader can not commit, even within the same process and connection', async () => {
  const committer = await lead('a');
  await committer.commit(START, batch(1));
  await takeTerm(redis.client, keys, 'b');
  await expect(committer.commit({ generated: 1, cursorJson: '1' }, batch(2))).rejects.toThrow(DeposedError);
  expect(await queued()).toEqual([1]);
});

it('a term that was taken between the fence and the EXEC makes Redis refuse the EXEC', async () => {
  // Asked right before the EXEC is sent: just where a process may be paused for long.
  let takeover: Promise<unknown> = Promise.resolve();
  const committer = await lead('a', {
    term: {
      number: 1,
      signal: ending.signal,
      isTrusted: () => {
        takeover = takeTerm(redis.client, keys, 'b');
        blockFor(50);
        return true;
      },
    },
  });
  // The takeover is on its way before the EXEC is.
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

it('the same term number in another hand does not pass the fence', async () => {
  // A Redis that failed over may give out a term a second time.
  const committer = await lead('a');
  await redis.client.hset(keys.leader, { instance: 'b', term: 1 });
  await expect(committer.commit(START, batch(1))).rejects.toThrow(DeposedError);
});

it('a position that Redis has lost is told from one that it still has', async () => {
  const committer = await lead();
  await committer.commit(START, batch(1, 2));
  await redis.client.hset(keys.cursor, { generated: 1, cursor: '1' });
  const result = await committer.commit({ generated: 2, cursorJson: '2' }, batch(3));
  expect(result.outcome).toBe('diverged');
  expect(await queued()).toEqual([1, 2]);
});

it('with as many messages waiting as may, nothing is committed', async () => {
  const committer = await lead('a', { maxBacklog: 2 });
  const first = await committer.commit(START, batch(1, 2));
  expect(first.outcome).toBe('committed');
  expect(await committer.commit({ generated: 2, cursorJson: '2' }, batch(3))).toEqual({ outcome: 'full' });
  await redis.client.lpop(keys.waiting);
  expect((await committer.commit({ generated: 2, cursorJson: '2' }, batch(3))).outcome).toBe('committed');
});

it('a flushed script cache costs nothing', async () => {
  const committer = await lead();
  await committer.commit(START, batch(1));
  await redis.client.script('FLUSH');
  const result = await committer.commit({ generated: 1, cursorJson: '1' }, batch(2, 3));
  expect(result).toEqual({ outcome: 'committed', position: { generated: 3, cursorJson: '3' } });
  expect(await queued()).toEqual([1, 2, 3]);
});

it('a connection that is cut in the middle of commits loses and doubles nothing', async () => {
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

it('an EXEC whose answer was lost is not sent again when it was executed', async () => {
  const proxy = await startProxy(redis.port);
  try {
    const committer = await lead('a', {
      connect: () =>
        new RedisConnector({ address: parseRedisUrl(proxy.url), key: keys.lease }).connect('commit'),
      term: {
        number: 1,
        signal: ending.signal,
        // Right before the EXEC is sent: it arrives, its answer does not.
        isTrusted: () => {
          proxy.blackhole('responses');
          return true;
        },
      },
    });
    const committing = committer.commit(START, batch(1, 2));
    await waitFor(async () => (await redis.client.hget(keys.cursor, 'generated')) === '2', 'the EXEC');
    proxy.heal();
    expect(await committing).toEqual({ outcome: 'committed', position: { generated: 2, cursorJson: '2' } });
    expect(await queued()).toEqual([1, 2]);
  } finally {
    await proxy.close();
  }
});

it('an EXEC that is held up on its way is refused after the batch was committed again', async () => {
  const proxy = await startProxy(redis.port);
  try {
    let through: string = proxy.url;
    const committer = await lead('a', {
      connect: () =>
        new RedisConnector({ address: parseRedisUrl(through), key: keys.lease }).connect('commit'),
      term: {
        number: 1,
        signal: ending.signal,
        isTrusted: () => {
          if (through === redis.url) return true;
          // The EXEC stays in the proxy while the client believes the connection broken and opens another.
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

it('a Redis that is out of memory refuses a batch as a whole, and takes it when there is room', async () => {
  const committer = await lead();
  await redis.client.config('SET', 'maxmemory', '1');
  const committing = committer.commit(START, batch(1, 2, 3));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await redis.client.config('SET', 'maxmemory', '0');
  expect((await committing).outcome).toBe('committed');
  expect(await queued()).toEqual([1, 2, 3]);
});

it('a Redis that is killed while a commit waits takes the commit when it is back', async () => {
  const committer = await lead();
  await committer.position();
  await redis.kill();
  const committing = committer.commit(START, batch(1, 2));
  await redis.restart();
  expect((await committing).outcome).toBe('committed');
  expect(await queued()).toEqual([1, 2]);
});

it('the end of the term ends a commit that waits for Redis', async () => {
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
