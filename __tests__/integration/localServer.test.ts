import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import {
  findOrStartLocalRedis,
  type LocalRedisOptions,
  type StartedServer,
} from '../../src/redis/localServer';
import { AppError } from '../../src/errors';
import { freePort, startRedis } from '../helpers/redisServer';

const STOP_SCRIPT = path.resolve('scripts/stopLocalRedis.mjs');
const host = '127.0.0.1';

let workingDirectory: string;
let directory: string;
let port: number;
let startedHere: StartedServer[];
let pidsToKill: number[];

beforeEach(async () => {
  workingDirectory = realpathSync(mkdtempSync(path.join(tmpdir(), 'nic-local-')));
  directory = path.join(workingDirectory, '.redis');
  port = await freePort();
  startedHere = [];
  pidsToKill = [];
});

afterEach(async () => {
  for (const pid of [...pidsToKill, ...startedHere.map((server) => server.pid)]) {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
  await until(async () => !(await listens()));
  rmSync(workingDirectory, { recursive: true, force: true });
});

describe('if nothing answers', () => {
  it('starts a persistent server that is bound to loopback', async () => {
    await expect(findOrStart()).resolves.toBe('started');

    expect(startedHere).toEqual([
      { pid: expect.any(Number) as number, address: `${host}:${port}`, directory },
    ]);
    const settings = await withClient((redis) =>
      Promise.all(['bind', 'dir', 'appendonly', 'appendfsync'].map((name) => redis.config('GET', name))),
    );
    expect(settings).toEqual([
      ['bind', host],
      ['dir', directory],
      ['appendonly', 'yes'],
      ['appendfsync', 'everysec'],
    ]);
  });

  it('creates a directory that other users of the machine cannot read', async () => {
    await findOrStart();
    expect(statSync(directory).mode & 0o077).toBe(0);
  });

  it('keeps the data across redis:stop and the next start', async () => {
    await findOrStart();
    await withClient((redis) => redis.set('key', 'value'));
    await stop();
    await expect(findOrStart()).resolves.toBe('started');
    expect(await withClient((redis) => redis.get('key'))).toBe('value');
  });

  it('uses a single server when many processes start at once', async () => {
    // A wrapper around redis-server that records the pid of each server that is started.
    const executable = path.join(workingDirectory, 'recorder');
    const pidFile = path.join(workingDirectory, 'pids');
    writeFileSync(executable, `#!/bin/sh\necho $$ >> '${pidFile}'\nexec redis-server "$@"\n`, {
      mode: 0o755,
    });

    const outcomes = await Promise.all(Array.from({ length: 6 }, () => findOrStart({ executable })));
    pidsToKill = readFileSync(pidFile, 'utf8').trim().split('\n').map(Number);

    expect(outcomes.filter((outcome) => outcome === 'started')).toHaveLength(1);
    expect(startedHere).toHaveLength(1);
    await until(() => pidsToKill.filter(isAlive).length === 1);
    expect(pidsToKill.filter(isAlive)).toEqual([startedHere[0]!.pid]);
    expect(await withClient((redis) => redis.set('key', 'value'))).toBe('OK');
  });

  it('starts a server that survives the Ctrl-C that ends its parent process', async () => {
    const program = writeProgram(
      `findOrStartLocalRedis({ host: '${host}', port: ${port}, directory: '.redis', mayStart: true,
         onStarted: (server) => console.log(server.pid) });
       setInterval(() => {}, 1000);`,
    );
    // A terminal sends SIGINT to the whole foreground process group, so this process gets its own group.
    const instance = spawn(process.execPath, [program], {
      cwd: workingDirectory,
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(instance, 'exit');
    const [firstLine] = (await once(instance.stdout, 'data')) as [Buffer];
    pidsToKill.push(Number(firstLine.toString()));

    process.kill(-instance.pid!, 'SIGINT');
    expect(await exited).toEqual([null, 'SIGINT']);
    expect(await withClient((redis) => redis.ping())).toBe('PONG');
  });

  it('does not keep the process from exiting', async () => {
    const program = writeProgram(
      `findOrStartLocalRedis({ host: '${host}', port: ${port}, directory: '.redis', mayStart: true,
         onStarted: (server) => console.log(server.pid) });`,
    );
    const { code, stdout } = await run(program);
    pidsToKill.push(Number(stdout));
    expect(code).toBe(0);
    expect(await listens()).toBe(true);
  });

  it('says what to set if it must not start a server', async () => {
    const error = await failure({ mayStart: false });
    expect(error.exitCode).toBe(1);
    expect(error.message).toContain(`no Redis answers at ${host}:${port}: set REDISURL`);
    expect(existsSync(directory)).toBe(false);
  });

  it('suggests npm run setup if redis-server is not on PATH', async () => {
    const error = await failure({ executable: 'redis-server-that-is-not-there' });
    expect(error.exitCode).toBe(1);
    expect(error.message).toContain('redis-server is not on PATH: run "npm run setup", or set REDISURL');
  });

  it('names the directory if it cannot be created', async () => {
    writeFileSync(directory, 'a file in its place');
    const error = await failure();
    expect(error.exitCode).toBe(1);
    expect(error.message).toContain(`cannot keep Redis data in ${directory} (`);
    expect(error.message).toContain('EEXIST');
  });

  it('shows the end of the log, of this start only, if the server dies', async () => {
    mkdirSync(path.join(directory, 'appendonlydir'), { recursive: true });
    writeFileSync(path.join(directory, 'appendonlydir/appendonly.aof.manifest'), 'not a manifest\n');
    writeFileSync(path.join(directory, 'redis.log'), 'from an earlier start\n');
    const error = await failure();
    expect(error.exitCode).toBe(1);
    expect(error.message).toContain('redis-server ended while it started');
    expect(error.message).toContain(path.join(directory, 'redis.log'));
    expect(error.message).toMatch(/manifest/);
    expect(error.message).not.toContain('from an earlier start');
  });
});

describe('if something answers', () => {
  it('uses a running Redis and starts nothing', async () => {
    const redis = await startRedis();
    try {
      await expect(findOrStart({ port: redis.port })).resolves.toBe('found');
      await expect(findOrStart({ port: redis.port, mayStart: false })).resolves.toBe('found');
    } finally {
      await redis.stop();
    }
    expect(existsSync(directory)).toBe(false);
  });

  it('recognizes a Redis that requires a password', async () => {
    const redis = await startRedis(['--save', '', '--requirepass', 'secret']);
    try {
      await expect(findOrStart({ port: redis.port })).resolves.toBe('found');
    } finally {
      await redis.stop();
    }
  });

  // Simulates a Redis that loads a lot of data; a real one would need gigabytes.
  it('recognizes a Redis that is still loading its data', async () => {
    await withListener('-LOADING Redis is loading the dataset in memory\r\n', async () => {
      await expect(findOrStart()).resolves.toBe('found');
    });
  });

  it.each([
    ['speaks another protocol', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['never answers', undefined],
  ])('names the port if the listener %s', async (_, reply) => {
    await withListener(reply, async () => {
      const error = await failure();
      expect(error.exitCode).toBe(1);
      expect(error.message).toContain(`what listens at ${host}:${port} does not answer like Redis`);
      expect(existsSync(directory)).toBe(false);
    });
  });
});

describe('redis:stop', () => {
  it('stops the server that was started from this directory', async () => {
    await findOrStart();
    const { code, stdout } = await stop();
    expect(stdout).toBe(`stopped the Redis at ${host}:${port}; its data stays in ${directory}\n`);
    expect(code).toBe(0);
    expect(await listens()).toBe(false);
  });

  it('says so if no server is running', async () => {
    const { code, stdout } = await stop();
    expect(stdout).toBe(`nothing runs at ${host}:${port}\n`);
    expect(code).toBe(0);
  });

  it('does not stop a server that was started elsewhere', async () => {
    await findOrStart();
    const elsewhere = path.join(workingDirectory, 'elsewhere');
    mkdirSync(path.join(elsewhere, '.redis'), { recursive: true });
    const { code, stderr } = await run(STOP_SCRIPT, [String(port)], elsewhere);
    expect(stderr).toContain(`was not started here and is left alone: its data is in ${directory}`);
    expect(code).toBe(1);
    expect(await listens()).toBe(true);
  });

  it.each([
    ['a Redis with a password', '-NOAUTH Authentication required.\r\n', 'NOAUTH'],
    ['what is no Redis', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'HTTP/1.1 400 Bad Request'],
  ])('does not stop %s', async (_, reply, shown) => {
    await withListener(reply, async () => {
      const { code, stderr } = await stop();
      expect(stderr).toContain(shown);
      expect(code).toBe(1);
    });
  });
});

function findOrStart(options: Partial<LocalRedisOptions> = {}) {
  return findOrStartLocalRedis({
    host,
    port,
    directory,
    mayStart: true,
    onStarted: (server) => startedHere.push(server),
    ...options,
  });
}

async function failure(options: Partial<LocalRedisOptions> = {}): Promise<AppError> {
  const outcome: unknown = await findOrStart(options).catch((error: unknown) => error);
  if (!(outcome instanceof AppError)) throw new Error(`expected an AppError, found ${String(outcome)}`);
  return outcome;
}

function stop() {
  return run(STOP_SCRIPT, [String(port)]);
}

function run(program: string, args: string[] = [], cwd = workingDirectory) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(process.execPath, [program, ...args], { cwd }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** Returns a program that uses the built module. */
function writeProgram(body: string): string {
  const program = path.join(workingDirectory, 'program.js');
  const module = JSON.stringify(path.resolve('dist/redis/localServer.js'));
  writeFileSync(program, `const { findOrStartLocalRedis } = require(${module});\n${body}\n`);
  return program;
}

async function withClient<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ port, host, retryStrategy: () => null });
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

async function withListener(reply: string | undefined, work: () => Promise<void>): Promise<void> {
  const listener = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => reply !== undefined && socket.write(reply));
  });
  await once(listener.listen(port, host), 'listening');
  try {
    await work();
  } finally {
    await new Promise((resolve) => listener.close(resolve));
  }
}

async function listens(): Promise<boolean> {
  const socket = connect({ port, host });
  const outcome = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'close').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return outcome;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(10);
}
