// Real servers and real instances for the benchmarks and the fault injection, all on loopback and all our own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const children = new Set();

/** Ends everything that was started here. */
export function killEverything() {
  for (const child of children) child.kill('SIGKILL');
}
process.on('exit', killEverything);
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => process.exit(1));

export async function freePort() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** A Redis server of our own. `durable`: every answered write is on disk, so a SIGKILL loses nothing. */
export async function startRedis({ durable = false, args = [] } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'nic-bench-'));
  const port = await freePort();
  const mode = durable ? ['--appendonly', 'yes', '--appendfsync', 'always'] : [];
  let child;
  async function launch() {
    child = spawn(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', ...mode, ...args],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    children.add(child);
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (output.includes('Ready to accept connections')) break;
    }
    if (child.exitCode !== null) throw new Error(`redis-server ended: ${output}`);
  }
  await launch();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child.pid;
    },
    async kill() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      children.delete(child);
    },
    restart: launch,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) await this.kill();
      children.delete(child);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/**
 * A Node.js program with nothing in its environment but PATH and `env`. `onLine` gets what it writes to stderr, without
 * it that is shown; `onMessage` what it sends by `process.send`.
 */
export function startProgram(args, env, { onLine, onMessage } = {}) {
  const child = spawn(process.execPath, args, {
    cwd: tmpdir(),
    stdio: ['ignore', 'ignore', onLine ? 'pipe' : 'inherit', ...(onMessage ? ['ipc'] : [])],
    env: { PATH: process.env.PATH, ...env },
  });
  children.add(child);
  let rest = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    for (const line of lines) onLine(line);
  });
  if (onMessage) child.on('message', onMessage);
  const exited = once(child, 'exit').then(([code, signal]) => {
    children.delete(child);
    return code ?? signal;
  });
  return { child, exited, kill: (signal) => child.kill(signal) };
}

/** An instance: the built program. `onLine` gets its log; `nodeArgs` are for node itself. */
export function startInstance(name, env, onLine = () => {}, { nodeArgs = [], onMessage } = {}) {
  const defaults = { BOARD: 'off', LOG_FORMAT: 'json', INSTANCE_NAME: name };
  const args = [...nodeArgs, resolve('dist/main.js')];
  return { name, ...startProgram(args, { ...defaults, ...env }, { onLine, onMessage }) };
}
