// Starts Redis servers on free loopback ports, each with its own data directory.
const { spawn } = require('node:child_process');
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { Redis } = require('ioredis');
const { killAndWait, track } = require('./children.cjs');
const { freePort } = require('./ports.cjs');

/**
 * @typedef {object} RedisServer
 * @property {string} url
 * @property {number} port
 * @property {import('node:child_process').ChildProcess} process
 * @property {import('ioredis').Redis} client for the caller's own use; reconnects by itself, closed by `stop`
 * @property {() => Promise<void>} kill kills it, like a crash
 * @property {() => Promise<void>} restart starts it again after `kill`, with the same port and data
 * @property {() => void} pause suspends it: it keeps its connections and does not answer
 * @property {() => void} resume
 * @property {() => Promise<void>} stop stops it and removes its data
 */

/** Every write is on disk before it is acknowledged, so exactly the acknowledged writes survive a SIGKILL. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];

/**
 * @param {string[]} [args] for redis-server; by default nothing is written to disk
 * @param {{ password?: string, configuration?: string, host?: string }} [options] `configuration` goes into a file of
 * its own; `host` is a further address to listen on
 * @returns {Promise<RedisServer>}
 */
async function startRedis(args = ['--save', ''], { password, configuration, host } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'nic-redis-'));
  const port = await freePort();
  const file = join(directory, 'server.conf');
  if (configuration !== undefined) writeFileSync(file, `${configuration}\n`);
  const command = [
    ...(configuration === undefined ? [] : [file]),
    ...['--port', String(port), '--bind', '127.0.0.1', ...(host === undefined ? [] : [host])],
    ...['--dir', directory, ...args],
  ];
  let child = await launch(command);
  const client = new Redis({
    port,
    password,
    maxRetriesPerRequest: null,
    retryStrategy: () => 20,
    disconnectTimeout: 100,
  });
  client.on('error', () => undefined);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get process() {
      return child;
    },
    client,
    kill: () => killAndWait(child),
    async restart() {
      child = await launch(command);
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async stop() {
      client.disconnect();
      await killAndWait(child);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** @param {string[]} command */
async function launch(command) {
  const child = track(spawn('redis-server', command, { stdio: ['ignore', 'pipe', 'inherit'] }));
  let output = '';
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`redis-server ended: ${output}`)));
    child.stdout.on('data', (chunk) => {
      output += chunk;
      if (/Ready to accept connections|Sentinel ID is/.test(output)) resolve(undefined);
    });
  });
  output = '';
  child.stdout.removeAllListeners('data').resume();
  return child;
}

module.exports = { startRedis, DURABLE };
