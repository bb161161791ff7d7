import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** A Redis server of the test's own, on a free loopback port and in a directory of its own. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  /** A client for the test's own use; closed by stop. */
  readonly client: Redis;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same port and data. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** @param args for redis-server; by default nothing is written to disk */
export async function startRedis(args: string[] = ['--save', '']): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), 'nic-redis-'));
  const port = await freePort();
  let child = await launch(port, directory, args);
  const client = new Redis({
    port,
    maxRetriesPerRequest: null,
    retryStrategy: () => 20,
    disconnectTimeout: 100,
  });
  client.on('error', () => undefined);

  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get process() {
      return child;
    },
    client,
    kill,
    async restart() {
      child = await launch(port, directory, args);
    },
    async stop() {
      client.disconnect();
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Append-only, every write on disk before it is answered: what survives a SIGKILL is exactly what was answered. */
export const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];

export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function launch(port: number, directory: string, args: string[]): Promise<ChildProcess> {
  const child = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('Ready to accept connections')) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`redis-server ended: ${output}`)));
  });
  output = '';
  child.stdout.removeAllListeners('data').resume();
  return child;
}
