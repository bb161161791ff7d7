import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors';

/** How long one question to a server on this machine may take, in milliseconds. */
const ANSWER_MS = 2000;
/** How long a server may take to start, in milliseconds. */
const START_MS = 10_000;
const POLL_MS = 20;

export interface LocalRedisOptions {
  /** A loopback address: where a Redis is looked for, and what one that is started is bound to. */
  readonly host: string;
  readonly port: number;
  /** Where a server that is started keeps its data and its log. Created if need be. */
  readonly directory: string;
  readonly mayStart: boolean;
  /** Called once a server started here answers. It outlives this process. */
  readonly onStarted?: (server: StartedServer) => void;
  /** Default `redis-server`, looked up on PATH. */
  readonly executable?: string;
}

export interface StartedServer {
  readonly pid: number;
  readonly address: string;
  /** Absolute. */
  readonly directory: string;
}

/**
 * Makes sure that a Redis answers at host:port, without a configuration to say where one is. `found` if one did or
 * if another instance was faster to start one; `started` if the one that answers was started here.
 *
 * @throws AppError (exit code 1) that says what to do when there is none and none can be started.
 */
export async function findOrStartLocalRedis(options: LocalRedisOptions): Promise<'found' | 'started'> {
  const address = `${options.host}:${options.port}`;
  const answer = await probe(options);
  if (answer === 'ready' || answer === 'busy') return 'found';
  if (answer === 'foreign') throw taken(address);
  if (!options.mayStart) {
    throw new AppError(
      `no Redis answers at ${address}: set REDISURL to the Redis to use, or start one there` +
        ' (with NODE_ENV=production the application starts none)',
      1,
    );
  }
  return start(options, address);
}

/**
 * Instances that start at once each spawn a server. No lock between them is needed, and none can be left behind by
 * a crash: the port itself is the lock. Redis binds it before it touches its data, and whoever comes late exits. So
 * whichever server answers is the one to use, and its pid tells whether it is ours.
 */
async function start(options: LocalRedisOptions, address: string): Promise<'found' | 'started'> {
  const directory = path.resolve(options.directory);
  const logFile = path.join(directory, 'redis.log');
  const { server, logStart } = spawnServer(options, directory, logFile);
  let failure: Error | undefined;
  let exited = false;
  server.once('error', (error) => (failure = error));
  server.once('exit', () => (exited = true));

  const deadline = performance.now() + START_MS;
  let answer: Answer = 'nothing';
  while (performance.now() < deadline) {
    // Asked before, so that the answer is one given after the exit: a faster instance's server answers by then.
    const over = exited || failure !== undefined;
    answer = await probe(options);
    // A large append-only file may load for longer than anyone wants to wait here; ioredis waits for the rest.
    if (answer === 'ready') break;
    if (over && (answer === 'nothing' || answer === 'foreign')) break;
    await sleep(POLL_MS);
  }

  if (answer === 'ready' || answer === 'busy') {
    if (server.pid === undefined || (await askPid(options)) !== server.pid) return 'found';
    options.onStarted?.({ pid: server.pid, address, directory });
    return 'started';
  }
  if (failure) {
    const missing = 'code' in failure && failure.code === 'ENOENT';
    const what = missing
      ? 'redis-server is not on PATH'
      : `redis-server cannot be started (${failure.message})`;
    const message = `no Redis answers at ${address}, and ${what}: run "npm run setup", or set REDISURL`;
    throw new AppError(message, 1, { cause: failure });
  }
  if (answer === 'foreign') throw taken(address);
  // Nobody will use it, and left alone it would take the port some day.
  if (!exited) server.kill();
  throw new AppError(
    `redis-server ${exited ? 'ended while it started' : `did not answer at ${address} within ${START_MS} ms`}:` +
      ` mend what its log says, or set REDISURL. The end of ${logFile}:\n${lastLines(logFile, logStart)}`,
    1,
  );
}

function spawnServer(
  { host, port, executable = 'redis-server' }: LocalRedisOptions,
  directory: string,
  logFile: string,
) {
  let log: number;
  let logStart: number;
  try {
    // For this user's eyes only: it holds the messages.
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    log = openSync(logFile, 'a', 0o600);
    logStart = statSync(logFile).size;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AppError(
      `cannot keep Redis data in ${directory} (${reason}): make it writable, or set REDISURL`,
      1,
      {
        cause: error,
      },
    );
  }
  const settings = {
    bind: host,
    port: String(port),
    dir: directory,
    appendonly: 'yes',
    appendfsync: 'everysec',
    // The append-only file is all that is loaded again; snapshots beside it would be work for nothing.
    save: '',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  // Detached: a process group (and session) of its own, which Ctrl-C and a closed terminal do not reach. Its output
  // goes into a file rather than through --logfile, which would lose what Redis says before it has read its options.
  // No --pidfile: Redis 7.2 and newer write it before they bind the port, so that the loser's pid would stand in it.
  const server = spawn(executable, args, {
    cwd: directory,
    detached: true,
    stdio: ['ignore', log, log],
  });
  server.unref();
  closeSync(log);
  return { server, logStart };
}

/** `busy`: a Redis that will not serve us right now (-LOADING, -NOAUTH and the like). `foreign`: no Redis. */
type Answer = 'ready' | 'busy' | 'foreign' | 'nothing';

async function probe(at: { host: string; port: number }): Promise<Answer> {
  const reply = await ask(at, 'PING', /\r\n/);
  if (reply === undefined) return 'nothing';
  if (reply.startsWith('+PONG')) return 'ready';
  return /^-[A-Z]+ /.test(reply) ? 'busy' : 'foreign';
}

async function askPid(at: { host: string; port: number }): Promise<number | undefined> {
  const reply = await ask(at, 'INFO server', /process_id:(\d+)\r\n/);
  const pid = /process_id:(\d+)\r\n/.exec(reply ?? '')?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/**
 * What the server sends back until `end` matches, it hangs up or ANSWER_MS pass. Undefined: nobody listens. A bare
 * socket, because a Redis client hides just the differences that matter here, and reconnects.
 */
function ask(
  { host, port }: { host: string; port: number },
  command: string,
  end: RegExp,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let reply: string | undefined;
    const socket = connect({ host, port });
    socket.setEncoding('utf8');
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reply);
    };
    const timer = setTimeout(done, ANSWER_MS);
    socket.once('connect', () => {
      reply = '';
      socket.write(`${command}\r\n`);
    });
    socket.on('data', (chunk: string) => {
      reply += chunk;
      if (end.test(reply ?? '')) done();
    });
    socket.once('error', done);
    socket.once('close', done);
  });
}

function taken(address: string): AppError {
  return new AppError(
    `what listens at ${address} does not answer like Redis (PING got no +PONG): free that port, or set REDISURL`,
    1,
  );
}

/** The end of what this start wrote: the file goes on from the starts before. */
function lastLines(file: string, from: number): string {
  const text = readFileSync(file).subarray(from).toString('utf8').trimEnd();
  return text.split('\n').slice(-10).join('\n');
}
