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

/** pg's client, whose rows are records of text unless a query says otherwise. */
export type PostgresClient = Omit<Client, 'query'> & {
  query<Row extends QueryResultRow = Record<string, string>>(
    text: string,
    values?: unknown[],
  ): Promise<QueryResult<Row>>;
};

/** A PostgreSQL server of the test's own, on a free loopback port and in a directory of its own. */
export interface PostgresServer {
  readonly port: number;
  /** Of a database; by default of the one that is always there. */
  url(database?: string): string;
  /** A client that is connected; closed by `stop` at the latest. */
  open(database?: string): Promise<PostgresClient>;
  /** Runs one of PostgreSQL's own programs against it, and gives what it prints. */
  run(program: string, args: readonly string[], input?: string): string;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again after `kill`. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** Where PostgreSQL's programs are, of the newest version; undefined if there are none. */
export function findPostgres(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const directories = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(debian, version, 'bin')),
  ]
    .map((each) => join(each, 'postgres'))
    .filter((file) => existsSync(file))
    // What is on PATH may be a link to one of them, without its neighbors.
    .map((file) => dirname(realpathSync(file)));
  const needed = ['initdb', 'createdb', 'psql', 'pg_dump'];
  return directories.find((each) => needed.every((program) => existsSync(join(each, program))));
}

/** @param bin as findPostgres gives it */
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
    // No sockets in the file system, and no disk to wait for.
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
    // "Immediate shutdown": no goodbye and no checkpoint, but none of its processes is left behind.
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
        // What it complains of is in the error then.
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
  // Of servers that are killed.
  client.on('error', () => undefined);
  return client;
}

/** PostgreSQL refuses to run as root. Then: as whom. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string, user: string) =>
    Number(execFileSync('id', [option, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  for (const user of ['postgres', 'nobody']) {
    try {
      return { uid: id('-u', user), gid: id('-g', user) };
    } catch {
      // Not on this machine.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor nobody');
}
