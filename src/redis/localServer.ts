import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors';

/** Timeout of one request to a server on this machine, in milliseconds. */
const ANSWER_TIMEOUT_MS = 2000;
/** Time for a server to start, in milliseconds. */
const START_TIMEOUT_MS = 10_000;
const POLL_INTERVAL_MS = 20;

export interface LocalRedisOptions {
  /** A loopback address. A server that is started binds to it. */
  readonly host: string;
  readonly port: number;
  /** Directory for the data and the log of a server that is started. Created if necessary. */
  readonly directory: string;
  readonly mayStart: boolean;
  /** Called when a server that was started here answers. It outlives this process. */
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
 * Ensures that a Redis answers at host:port. Returns `found` if one was running or another instance started one first,
 * and `started` if the one that answers was started here.
 *
 * @throws AppError (exit code 1) stating the remedy if none is running and none can be started
 */
export async function findOrStartLocalRedis(options: LocalRedisOptions): Promise<'found' | 'started'> {
  const address = `${options.host}:${options.port}`;
  const answer = await probe(options);
  if (answer === 'ready' || answer === 'busy') return 'found';
  if (answer === 'foreign') throw taken(address);
  if (!options.mayStart) {
    throw new AppError(
      `no Redis answers at ${address}: set REDISURL to the Redis to use, or start one there` +
        ' (with NODE_ENV=production the application does not start one)',
      1,
    );
  }
  return start(options, address);
}

/**
 * Instances that start at the same time each spawn a server. The port itself is the lock between them, and a crash cannot
 * leave it behind: Redis binds the port before it touches its data, and a server that finds the port taken exits.
 * Whichever server answers is the one to use, and its pid shows whether it was started here.
 */
async function start(options: LocalRedisOptions, address: string): Promise<'found' | 'started'> {
  const directory = path.resolve(options.directory);
  const logFile = path.join(directory, 'redis.log');
  const { server, logStart } = spawnServer(options, directory, logFile);
  let failure: Error | undefined;
  let exited = false;
  server.once('error', (error) => (failure = error));
  server.once('exit', () => (exited = true));

  const deadline = performance.now() + START_TIMEOUT_MS;
  let answer: Answer = 'nothing';
  while (performance.now() < deadline) {
    // Read before the probe: if the server has exited, the server of a faster instance already answers.
    const over = exited || failure !== undefined;
    answer = await probe(options);
    // Loading a large append-only file can take longer than this wait; ioredis waits for the rest.
    if (answer === 'ready') break;
    if (over && (answer === 'nothing' || answer === 'foreign')) break;
    await sleep(POLL_INTERVAL_MS);
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
  // If it kept running, it would take the port later although nothing uses it.
  if (!exited) server.kill();
  throw new AppError(
    `redis-server ${exited ? 'ended while it started' : `did not answer at ${address} within ${START_TIMEOUT_MS} ms`}:` +
      ` fix what its log reports, or set REDISURL. The end of ${logFile}:\n${lastLines(logFile, logStart)}`,
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
    // Readable by this user only: it holds the messages.
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
    // Redis loads only the append-only file when it restarts, so snapshots would be of no use.
    save: '',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  // Detached: Ctrl-C and a closed terminal do not reach a process group and session of its own. Its output is redirected
  // to a file because --logfile would lose what Redis prints before it has read its options.
  // No --pidfile: Redis 7.2 and newer write it before they bind the port, so it could hold the pid of a server that exited.
  const server = spawn(executable, args, {
    cwd: directory,
    detached: true,
    stdio: ['ignore', log, log],
  });
  server.unref();
  closeSync(log);
  return { server, logStart };
}

/** `busy`: a Redis that refuses commands now (-LOADING, -NOAUTH and so on). `foreign`: not a Redis. */
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
 * Returns what the server sends until `end` matches, it closes the connection or the timeout passes; undefined if nothing
 * listens. Uses a plain socket, because a Redis client reconnects and hides the differences that matter here.
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
    const timer = setTimeout(done, ANSWER_TIMEOUT_MS);
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

/** Returns the last lines that this start has written: the file also holds those of earlier starts. */
function lastLines(file: string, from: number): string {
  const text = readFileSync(file).subarray(from).toString('utf8').trimEnd();
  return text.split('\n').slice(-10).join('\n');
}
