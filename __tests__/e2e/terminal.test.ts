import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { killAll, startInstance } from '../helpers/instance';
import { freePort, type RedisServer, startRedis } from '../helpers/redisServer';
import { runScript } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

/* eslint-disable no-control-regex -- these tests are about terminal control sequences */
const STYLE = /\u001b\[\d+m/;

let redis: RedisServer;
const opened: { pid: number | undefined; script: ChildProcess }[] = [];

beforeAll(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  for (const { pid, script } of opened.splice(0)) {
    if (script.exitCode !== null) continue;
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    script.kill('SIGKILL');
  }
  await killAll();
});

afterAll(() => redis.stop());

/** `script` of util-linux, which runs a command on a terminal. */
function hasScript(): boolean {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
}

/** Runs the program on a terminal of 100 columns and 30 rows, where stdout and stderr are merged. */
async function onTerminal(args: string, env: Record<string, string> = {}) {
  const command = `stty cols 100 rows 30; echo $$; exec "$NODE" "$MAIN" ${args}`;
  const script = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      REDISURL: redis.url,
      TERM: 'xterm-256color',
      NODE: process.execPath,
      MAIN: resolve('dist/main.js'),
      ...env,
    },
  });
  const entry: (typeof opened)[number] = { pid: undefined, script };
  opened.push(entry);
  let output = '';
  script.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const closed = once(script, 'close') as Promise<[number | null]>;
  const shown = () => output.replaceAll('\r\n', '\n').replace(/^\d+\n/, '');
  const shows = (pattern: RegExp) => waitFor(() => pattern.test(shown()), `${pattern} in ${output}`);
  await waitFor(() => /^\d+\r\n/.test(output), 'the pid');
  entry.pid = parseInt(output);
  return {
    shows,
    /** Sends the signal, if any, and returns the exit code and all output. */
    async end(signal?: NodeJS.Signals) {
      if (signal !== undefined) process.kill(entry.pid!, signal);
      const [code] = await closed;
      return { code, shown: shown() };
    },
  };
}

const ifScript = hasScript() ? describe : describe.skip;

ifScript('on a terminal', () => {
  it.each([
    ['has colours', {}, true],
    ['has none where NO_COLOR is set', { NO_COLOR: '1' }, false],
    ['has colours where NO_COLOR is empty', { NO_COLOR: '' }, true],
    ['has none where the terminal has none', { TERM: 'dumb' }, false],
  ])('status %s', async (_, env, expected) => {
    const { code, shown } = await (await onTerminal('status', env)).end();
    expect(code).toBe(0);
    expect(shown).toContain('no generator');
    expect(STYLE.test(shown)).toBe(expected);
  });

  it('status --watch hides the cursor, redraws in place, and restores the cursor', async () => {
    const watch = await onTerminal('status --watch');
    await watch.shows(/nic.*nic/s);
    const { code, shown } = await watch.end('SIGINT');
    expect(code).toBe(0);
    expect(shown).toMatch(
      /^\u001b\[\?25l\u001b\[2J\u001b\[H.*\u001b\[J\u001b\[Hnic.*\u001b\[J\u001b\[\?25h$/s,
    );
    expect(shown.match(/\u001b\[2J/g)).toHaveLength(1);
  });

  it('status --watch restores the cursor at once although Redis does not answer', async () => {
    const watch = await onTerminal('status --watch');
    await watch.shows(/nic/);
    redis.process.kill('SIGSTOP');
    try {
      // The next poll has begun.
      await new Promise((done) => setTimeout(done, 1200));
      const startedAt = performance.now();
      const { code, shown } = await watch.end('SIGTERM');
      expect(code).toBe(0);
      expect(shown).toMatch(/\u001b\[J\u001b\[\?25h$/);
      expect(performance.now() - startedAt).toBeLessThan(1500);
    } finally {
      redis.process.kill('SIGCONT');
    }
  });

  it('status --watch restores the cursor before it reports that Redis failed', async () => {
    const own = await startRedis();
    const watch = await onTerminal('status --watch', { REDISURL: own.url });
    await watch.shows(/nic/);
    await own.stop();
    const { code, shown } = await watch.end();
    expect(code).toBe(1);
    expect(shown).toMatch(/\u001b\[J\u001b\[\?25herror: Redis at .*\n$/);
  });

  it('the log of an instance shows next steps in colors', async () => {
    const env = { NAMESPACE: 'log', BOARD_PORT: String(await freePort()), DEMO_ERROR_RATE: '0' };
    const instance = await onTerminal('', env);
    await instance.shows(/message 1 handled/);
    await instance.shows(/board is up/);
    const { code, shown } = await instance.end('SIGINT');
    expect(code).toBe(0);
    for (const step of ['this is the demo', 'started', 'Ctrl-C stops this instance', 'elected', 'stopped'])
      expect(shown).toContain(step);
    expect(shown).toMatch(/^\u001b\[2m\d\d:\d\d:\d\d\u001b\[22m \u001b\[32minfo /m);
  });

  it('the log of an instance shows neither next steps nor colors if they are disabled', async () => {
    const env = { NAMESPACE: 'quiet', BOARD: 'off', LOG_LEVEL: 'warn', NO_COLOR: '1', DEMO_ERROR_RATE: '1' };
    const instance = await onTerminal('', env);
    await instance.shows(/a message failed/);
    const { shown } = await instance.end('SIGTERM');
    expect(shown).not.toContain('Ctrl-C');
    expect(shown).not.toMatch(STYLE);
  });
});

it('without a terminal there are no colors and no next steps, whatever the environment says', async () => {
  const env = { REDISURL: redis.url, FORCE_COLOR: '1', TERM: 'xterm-256color' };
  const status = await runScript('nic status', env);
  expect(status).toMatchObject({ code: 0, stderr: '' });
  expect(status.stdout).not.toMatch(STYLE);

  const instance = startInstance({
    ...env,
    LOG_FORMAT: 'pretty',
    NAMESPACE: 'elsewhere',
    DEMO_ERROR_RATE: '0',
  });
  await waitFor(() => instance.noise.some((line) => line.includes('message 1 handled')), 'a message');
  instance.signal('SIGTERM');
  expect(await instance.exited).toBe(0);
  expect(instance.noise.join('\n')).not.toMatch(STYLE);
  expect(instance.noise.join('\n')).not.toContain('Ctrl-C');
  expect(instance.noise.at(-1)).toMatch(/ info {2}stopped$/);
});
