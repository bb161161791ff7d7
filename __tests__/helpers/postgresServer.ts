import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { Client, type QueryResult, type QueryResultRow } from 'pg';
import { freePort } from './redisServer';
import { waitFor } from './waitFor';

/** The client of pg; rows are records of text unless a query says otherwise. */
export type PostgresClient = Omit<Client, 'query'> & {
  query<Row extends QueryResultRow = Record<string, string>>(
    text: string,
    values?: unknown[],
  ): Promise<QueryResult<Row>>;
};

/** A PostgreSQL server for tests, on a free loopback port and with its own data directory. */
export interface PostgresServer {
  readonly port: number;
  /** Returns the URL of a database; by default of the one that always exists. */
  url(database?: string): string;
  /** Returns a connected client; `stop` closes it if it is still open. */
  open(database?: string): Promise<PostgresClient>;
  /** Runs one of PostgreSQL's programs against the server, and returns its output. */
  run(program: string, args: readonly string[], input?: string): string;
  /** Kills the server, like a crash. */
  kill(): Promise<void>;
  /** Restarts the server after `kill`. */
  restart(): Promise<void>;
  /** Stops the server and removes its data. */
  stop(): Promise<void>;
}

/** Returns the directory of the newest PostgreSQL programs; undefined if there are none. */
export function findPostgres(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const directories = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(debian, version, 'bin')),
  ]
    .map((each) => join(each, 'postgres'))
    .filter((file) => existsSync(file))
    // A program on PATH might be a link to one of them, without the other programs beside it.
    .map((file) => dirname(realpathSync(file)));
  const needed = ['initdb', 'createdb', 'psql', 'pg_dump'];
  return directories.find((each) => needed.every((program) => existsSync(join(each, program))));
}

/** @param bin the result of findPostgres */
export async function startPostgres(bin: string): Promise<PostgresServer> {
  const directory = mkdtempSync(join(tmpdir(), 'nic-postgres-'));
  const data = join(directory, 'data');
  mkdirSync(data, { mode: 0o700 });
  const owner = unprivileged();
  if (owner) {
    chmodSync(directory, 0o755);
    chownSync(data, owner.uid, owner.gid);
  }
  const initialize = ['-D', data, '-U', 'postgres', '--auth=trust', '--no-sync', '--locale=C', '-E', 'UTF8'];
  execFileSync(join(bin, 'initdb'), initialize, {
    ...owner,
    cwd: data,
    stdio: ['ignore', 'ignore', 'inherit'],
  });

  const port = await freePort();
  const url = (database = 'postgres') => `postgres://postgres@127.0.0.1:${port}/${database}`;
  const clients: PostgresClient[] = [];
  let child: ChildProcess;

  const open = async (database?: string) => {
    const client = newClient(url(database));
    await client.connect();
    clients.push(client);
    return client;
  };
  const launch = async () => {
    // No sockets in the file system, and no waiting for the disk.
    const settings = ['fsync=off', 'unix_socket_directories=', 'max_connections=50'].flatMap((each) => [
      '-c',
      each,
    ]);
    const args = ['-D', data, '-h', '127.0.0.1', '-p', String(port), ...settings];
    child = spawn(join(bin, 'postgres'), args, { ...owner, cwd: data, stdio: 'ignore' });
    await waitFor(async () => {
      if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`);
      const client = newClient(url());
      return client.connect().then(
        () => client.end().then(() => true),
        () => false,
      );
    }, 'PostgreSQL to start');
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    // "Immediate shutdown": no checkpoint, but none of its processes is left behind.
    child.kill('SIGQUIT');
    await exited;
  };
  await launch();
  return {
    port,
    url,
    open,
    run: (program, args, input = '') =>
      execFileSync(join(bin, program), ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args], {
        encoding: 'utf8',
        input,
        // The error then contains its log.
        stdio: 'pipe',
      }),
    kill,
    restart: launch,
    async stop() {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function newClient(url: string): PostgresClient {
  const client = new Client(url);
  // Connections to killed servers fail.
  client.on('error', () => undefined);
  return client;
}

/** The user to run as if this is root, which PostgreSQL refuses. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string, user: string) =>
    Number(execFileSync('id', [option, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  for (const user of ['postgres', 'nobody']) {
    try {
      return { uid: id('-u', user), gid: id('-g', user) };
    } catch {
      // This machine has no such user.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor nobody');
}
