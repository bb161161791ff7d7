import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { codeBlocks } from '../helpers/markdown';
import { runScript } from '../helpers/runCommand';
import { type RedisServer, startRedis } from '../helpers/redisServer';

/* Runs the README's commands unchanged, in a directory that looks like the repository. */

let redis: RedisServer;
let directory: string;
let env: Record<string, string>;

beforeAll(async () => {
  redis = await startRedis();
  directory = mkdtempSync(join(tmpdir(), 'nic-readme-'));
  for (const entry of ['package.json', 'dist', 'examples', 'node_modules'])
    symlinkSync(resolve(entry), join(directory, entry));
  env = { REDISURL: redis.url, BOARD: 'off', PATH: process.env['PATH']! };
});

afterAll(async () => {
  await redis.stop();
  rmSync(directory, { recursive: true });
});

/** Returns the first block of the README that contains this text. */
const block = (text: string) => codeBlocks('README.md').find(({ code }) => code.includes(text))!.code;

/** Runs a script whose last command is an instance, and stops it once a line of its log matches. */
async function runUntil(script: string, pattern: RegExp): Promise<string> {
  const child = spawn('bash', ['-c', script], {
    cwd: directory,
    env: { ...env, LOG_FORMAT: 'pretty' },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const closed = once(child, 'close');
  let output = '';
  const deadline = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), 20_000);
  child.stderr.on('data', (chunk: Buffer) => {
    const before = output;
    output += chunk.toString();
    // Do not signal the whole process group: npm forwards the signal, and a second one ends the instance at once.
    const pid = Number(/ started .* pid=(\d+)/.exec(output)?.[1]);
    if (pattern.test(output) && !pattern.test(before)) process.kill(pid, 'SIGTERM');
  });
  await closed;
  clearTimeout(deadline);
  return output;
}

it('the commands for your own task work', async () => {
  writeFileSync(join(directory, 'squares.mjs'), block('export async function* generate'));
  const [start, getErrors] = block('TASK=squares.mjs').split('\n') as [string, string];
  expect(await runUntil(start, /11 squared is 121/)).toMatch(/a message failed .*10 is round/);
  const { code, stdout } = await runScript(getErrors, env, directory);
  expect([code, stdout]).toEqual([0, expect.stringContaining('10 is round')]);
});

it.each([
  ['lines', 'TASK=examples/lines.mjs', /three/],
  ['accessLog', 'TASK=examples/accessLog.mjs', /a message failed/],
  ['cron', 'TASK=examples/cron.mjs', /scheduledFor|tick/],
])('the example %s', async (_, text, pattern) => {
  expect(await runUntil(block(text).replace('*/10 *', '* *'), pattern)).toMatch(pattern);
});

it('another program can read the errors of the demo', async () => {
  await runUntil('DEMO_ERROR_RATE=1 DEMO_INTERVAL_MS=10 DEMO_HANDLE_MS=10 npm start', /id=200 /);
  const { code, stdout } = await runScript(block('| jq'), env, directory);
  expect([code, stdout]).toEqual([0, expect.stringContaining('meant to fail')]);
  const status = await runScript('npm start -s -- status', env, directory);
  expect(status.stdout).toMatch(/^nic: .*\nkeeper .*\n\nmessages +\d+ generated\n/);
});
