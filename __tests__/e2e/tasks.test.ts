import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { killAll, startInstance } from '../helpers/instance';
import { codeBlocks } from '../helpers/markdown';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

/* Runs the code of docs/tasks.md in a directory like a reader's. */

/** Kills the process after the effect and before the queue records it, the case that the recipe is for. */
const DYING = `
export { generate } from './sums.mjs';
import { handle as add } from './sums.mjs';
export async function handle(message, context) {
  await add(message, context);
  if (message.order === 7 && context.attempt === 1) process.kill(process.pid, 'SIGKILL');
}`;

let redis: RedisServer;
let directory: string;

beforeAll(async () => {
  redis = await startRedis();
  directory = mkdtempSync(join(tmpdir(), 'nic-tasks-'));
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(resolve('node_modules/ioredis'), join(directory, 'node_modules/ioredis'));
  symlinkSync(resolve('.'), join(directory, 'node_modules/node-instances-communication'));
  for (const { code } of codeBlocks('docs/tasks.md')) {
    const name = /^\/\/ ([\w.]+\.mjs)\n/.exec(code)?.[1];
    if (name !== undefined) writeFileSync(join(directory, name), code);
  }
  writeFileSync(join(directory, 'dying.mjs'), DYING);
});

afterEach(killAll);

afterAll(async () => {
  await redis.stop();
  rmSync(directory, { recursive: true });
});

it('the recipe applies an effect once although its handler was killed right after it', async () => {
  const env = {
    REDISURL: redis.url,
    SHOP_REDIS: redis.url,
    NAMESPACE: 'shop-task',
    // The second instance never saw the first alive, so it waits until lease and lock expire.
    LEASE_TTL_MS: '1000',
    JOB_LOCK_MS: '1000',
    TASK: join(directory, 'dying.mjs'),
  };
  const first = startInstance(env);
  expect(await first.exited).toBe('SIGKILL');
  // The effect is applied, but its message is not completed.
  expect(await redis.client.get('{shop}:done:7')).toBe('1');
  startInstance(env);
  await waitFor(
    async () => (await redis.client.zcard('{shop-task}:messages:completed')) === 20,
    'all orders',
  );
  expect(await redis.client.hget('{shop-task}:messages:7', 'ats')).toBe('2');
  expect(await redis.client.get('{shop}:total')).toBe(String((100 * 20 * 21) / 2));
});

it('the tests of a task run unchanged', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--test', 'orders.test.mjs'], {
    cwd: directory,
    env: { PATH: process.env['PATH'] },
  });
  expect(stdout).toMatch(/^(?:#|ℹ) pass 2$/m);
});
