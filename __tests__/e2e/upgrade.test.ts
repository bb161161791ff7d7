import { resolve } from 'node:path';
import { history, jobCounts, upTo } from '../helpers/history';
import { ELECTED, type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { DURABLE, type RedisServer, startRedis } from '../helpers/redisServer';

let redis: RedisServer;
let ledger: RedisServer;

beforeAll(async () => {
  [redis, ledger] = await Promise.all([startRedis(DURABLE), startRedis()]);
});

afterAll(async () => {
  await killAll();
  await Promise.all([redis.stop(), ledger.stop()]);
});

it('instances are replaced one after the other under load: nothing is lost or handled twice, and generating hardly pauses', async () => {
  const all: InstanceProcess[] = [];
  const start = async () => {
    const instance = startInstance({
      REDISURL: redis.url,
      LEDGER: ledger.url,
      TASK: resolve('__tests__/fixtures/ledgerTask.mjs'),
      PAUSE_MS: '3',
      HANDLE_MS: '20',
      CONCURRENCY: '20',
      KEEP_COMPLETED: '1000000',
      // Nobody waits for it: a stop hands over.
      LEASE_TTL_MS: '30000',
    });
    all.push(instance);
    await instance.logged('started');
  };
  for (let count = 0; count < 3; count++) await start();
  await Promise.race(all.map((instance) => instance.logged(ELECTED)));

  for (const old of [...all]) {
    old.signal('SIGTERM');
    expect(await old.exited).toBe(0);
    await start();
  }
  // The new ones in their turn, and none after them.
  for (const instance of all.slice(3)) {
    instance.signal('SIGTERM');
    expect(await instance.exited).toBe(0);
  }

  const numbers = (await history<{ number: number }>(redis.client)).map(({ message }) => message.number);
  expect(numbers).toEqual(upTo(numbers.length));
  const handled = (await ledger.client.lrange('handled', 0, -1)).map(
    (line) => (JSON.parse(line) as { number: number }).number,
  );
  expect(new Set(handled).size).toBe(handled.length);
  const { wait, active, completed, failed } = await jobCounts(redis.client);
  expect([active, failed, wait + completed, completed]).toEqual([0, 0, numbers.length, handled.length]);

  const commits = all
    .flatMap(({ log }) => log.filter(({ message }) => message === 'committed'))
    .map((line) => ({ at: Date.parse(String(line['timestamp'])), term: line['term'] }))
    .sort((a, b) => a.at - b.at);
  const pauses = commits
    .slice(1)
    .flatMap(({ at, term }, index) => (term === commits[index]!.term ? [] : [at - commits[index]!.at]))
    .sort((a, b) => a - b);
  expect(pauses.length).toBeGreaterThanOrEqual(2);
  expect(pauses[Math.floor(pauses.length / 2)]).toBeLessThan(200);
});
