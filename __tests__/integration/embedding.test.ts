import { resolve } from 'node:path';
import type * as Package from '../../src/index';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

// The package as others load it.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const { createInstance } = require(resolve('dist/index.js')) as typeof Package;

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

const env = (namespace: string) => ({
  REDISURL: redis.url,
  NAMESPACE: namespace,
  BOARD: 'off',
  LOG_LEVEL: 'error',
});

it('an instance runs a task that is an object of this process, and stops without a trace', async () => {
  const handled: number[] = [];
  const before = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
  const instance = createInstance<number, number>({
    env: env('embedded'),
    task: {
      async *generate({ cursor = 0 }) {
        await Promise.resolve();
        for (let n = cursor + 1; n <= 20; n++) yield { messages: [n], cursor: n };
      },
      handle: (message) => handled.push(message),
    },
  });
  await Promise.all([instance.start(), instance.start()]);
  await waitFor(() => handled.length === 20, 'all messages');
  expect(handled).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  expect([process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')]).toEqual(before);
  await Promise.all([instance.stop(), instance.stop()]);
  await waitFor(async () => {
    const clients = (await redis.client.client('LIST')) as string;
    return clients.trim().split('\n').length === 1;
  }, 'all connections to be closed');
});

it('two instances in one process are two: one generates, both handle', async () => {
  const handledBy = new Set<string>();
  const make = (name: string) =>
    createInstance<number, number>({
      env: { ...env('pair'), INSTANCE_NAME: name },
      task: {
        async *generate({ cursor = 0, signal }) {
          for (let n = cursor + 1; !signal.aborted; n++) {
            yield { messages: [n], cursor: n };
            await new Promise((done) => setTimeout(done, 2));
          }
        },
        async handle() {
          handledBy.add(name);
          await new Promise((done) => setTimeout(done, 5));
        },
      },
    });
  const [a, b] = [make('a'), make('b')];
  await Promise.all([a.start(), b.start()]);
  await waitFor(() => handledBy.size === 2, 'both to handle');
  expect(await redis.client.hget('{pair}:leader', 'term')).toBe('1');
  await Promise.all([a.stop(), b.stop()]);
});

it('may be stopped before it was started, and while it starts', async () => {
  const never = createInstance({ env: env('never') });
  await never.stop();
  await never.start();
  expect(await redis.client.exists('{never}:leader')).toBe(0);

  const brief = createInstance({ env: env('brief') });
  const starting = brief.start();
  await brief.stop();
  await starting;
});

it('start rejects with what is wrong, and stop is still fine', async () => {
  const wrong = createInstance({ env: { ...env('x'), CONCURRENCY: 'many' } });
  await expect(wrong.start()).rejects.toThrow(/CONCURRENCY is "many", expected/);
  await wrong.stop();
  const noTask = createInstance({ env: env('x'), task: { generate: 1 } as never });
  await expect(noTask.start()).rejects.toThrow(/expected two functions, generate and handle/);
  const noRedis = createInstance({ env: { ...env('x'), REDISURL: 'redis://127.0.0.1:1' } });
  await expect(noRedis.start()).rejects.toThrow(/cannot be reached/);
});
