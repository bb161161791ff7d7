import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { seedErrors } from '../../testkit/seedErrors.cjs';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';

let redis: RedisServer;

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(() => redis.stop());

const peakOf = (stderr: string) => Number(/peak=(\d+)/.exec(stderr)?.[1]);
const measured = () => ({
  REDISURL: redis.url,
  NODE_OPTIONS: `--require ${resolve('testkit/peakMemory.cjs')}`,
});

it.each([
  ['whose messages are still there', false],
  ['whose messages are gone', true],
])('prints 20,000 errors %s in order, in hardly more memory than none', async (_, orphans) => {
  const none = await runCommand(['getErrors', '--json'], measured());
  await seedErrors(redis.client, 20_000, { orphans });
  const child = spawn(process.execPath, [resolve('dist/main.js'), 'getErrors', '--json'], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...measured() },
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  let next = 1;
  for await (const line of createInterface(child.stdout)) {
    if (!line.startsWith(`{"id":"${next}",`))
      throw new Error(`expected error ${next}, found ${line.slice(0, 40)}`);
    next++;
  }
  if (child.exitCode === null) await once(child, 'exit');
  expect(next).toBe(20_001);
  expect(peakOf(stderr) - peakOf(none.stderr)).toBeLessThan(40);
});

it('--clear that is killed half-way has cleared nothing that it had not printed', async () => {
  const total = 12_000;
  await seedErrors(redis.client, total);
  const child = spawn(process.execPath, [resolve('dist/main.js'), 'getErrors', '--json', '--clear'], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], REDISURL: redis.url },
  });
  const printed = new Set<string>();
  for await (const line of createInterface(child.stdout)) {
    // A line that was cut off by the kill does not count as printed.
    if (!line.endsWith('}')) break;
    printed.add((JSON.parse(line) as { id: string }).id);
    if (printed.size === 3000) child.kill('SIGKILL');
  }
  const left = new Set(await redis.client.hkeys('{nic}:errors'));
  const lost = Array.from({ length: total }, (_, index) => String(index + 1)).filter(
    (id) => !left.has(id) && !printed.has(id),
  );
  expect(lost).toEqual([]);
  expect(left.size).toBeLessThan(total);
  expect(left.size).toBeGreaterThan(0);
});
