import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { jobCounts } from '../helpers/history';
import { killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

let redis: RedisServer;
let children: ChildProcess[] = [];

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
  await killAll();
  await redis.stop();
});

interface Span {
  name: string;
  id: string;
  trace: string;
  parent: string | undefined;
}

/** Starts an instance as documented, which prints its spans. */
function startTraced(
  env: Record<string, string>,
  program = [resolve('dist/main.js')],
): { stop(): Promise<Span[]> } {
  const child = spawn(process.execPath, ['--import', recipe, ...program], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'], REDISURL: redis.url, TASK, TRACES: 'on', BOARD: 'off', ...env },
  });
  children.push(child);
  const output = text(child.stdout);
  return {
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      expect(await exited).toEqual([0, null]);
      return (await output).split(/^\}$/m).slice(0, -1).map(readSpan);
    },
  };
}

const TASK = resolve('__tests__/fixtures/tracedTask.mjs');
const recipe = pathToFileURL(resolve('examples/tracing.mjs')).href;

function readSpan(printed: string): Span {
  const field = (pattern: RegExp) => pattern.exec(printed)?.[1];
  return {
    name: field(/^ {2}name: '(.*)'/m)!,
    id: field(/^ {2}id: '(\w+)'/m)!,
    trace: field(/^ {2}traceId: '(\w+)'/m)!,
    parent: field(/^ {4}spanId: '(\w+)'/m),
  };
}

const completed = async (count: number) =>
  waitFor(async () => (await jobCounts(redis.client)).completed === count, `${count} messages to be done`);

it('the trace of a message spans its commit and its handler in another process, and is flushed at the end', async () => {
  const generator = startTraced({ GENERATOR_HANDLES: 'false' });
  await waitFor(async () => (await jobCounts(redis.client)).wait === 3, 'three messages to wait');
  const other = startTraced({});
  await completed(3);
  const handling = await other.stop();
  const commits = (await generator.stop()).filter(({ name }) => name === 'commit messages');

  expect(commits).toHaveLength(3);
  expect(new Set(commits.map(({ trace }) => trace)).size).toBe(3);
  const processed = handling.filter(({ name }) => name === 'process messages');
  expect(processed).toHaveLength(3);
  for (const commit of commits) {
    expect(commit.parent).toBeUndefined();
    const process = processed.find(({ parent }) => parent === commit.id);
    expect(process?.trace).toBe(commit.trace);
    const work = handling.filter(({ name, parent }) => name.startsWith('work on ') && parent === process?.id);
    expect(work.map(({ trace }) => trace)).toEqual([commit.trace]);
  }
});

it('an instance that is started within a span does not become part of it', async () => {
  const script = `
    const { createInstance } = require(${JSON.stringify(resolve('dist/index.js'))});
    const { trace } = require(${JSON.stringify(require.resolve('@opentelemetry/api'))});
    const instance = createInstance();
    trace.getTracer('a host').startActiveSpan('outer', (span) => instance.start().then(() => span.end()));
    process.once('SIGTERM', () => instance.stop().then(() => process.exit(0)));`;
  const host = startTraced({}, ['-e', script]);
  await completed(3);
  const spans = await host.stop();
  const outer = spans.filter(({ name }) => name === 'outer');
  expect(outer).toHaveLength(1);
  expect(spans.filter(({ trace }) => trace === outer[0]!.trace)).toEqual(outer);
  expect(spans.filter(({ name }) => name === 'process messages')).toHaveLength(3);
});

it('without an SDK nothing is traced, a line says so, and everything else works', async () => {
  const instance = startInstance({ REDISURL: redis.url, TASK, TRACES: 'on' });
  await instance.logged(
    ({ level, message }) => level === 'warn' && /^TRACES is on, but no OpenTelemetry SDK/.test(message),
  );
  await completed(3);
  instance.signal('SIGTERM');
  expect(await instance.exited).toBe(0);
});

it('without bullmq-otel, tracing is refused with exit code 2 and a line that says what to install', async () => {
  const NODE_OPTIONS = `--require ${resolve('__tests__/fixtures/withoutBullmqOtel.cjs')}`;
  const { code, stdout, stderr } = await runCommand([], {
    REDISURL: redis.url,
    TASK,
    TRACES: 'on',
    NODE_OPTIONS,
  });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(
    /^error: TRACES is on, and the package bullmq-otel cannot be loaded: Cannot find module .*; expected it installed: npm install bullmq-otel\n$/,
  );
});

it('a job carries no trace if tracing is off', async () => {
  const instance = startInstance({ REDISURL: redis.url, TASK });
  await completed(3);
  expect(await redis.client.hget('{nic}:messages:1', 'opts')).not.toContain('"tm"');
  instance.signal('SIGTERM');
  await instance.exited;
});
