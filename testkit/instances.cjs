// Starts instances: the built program, as real processes.
const { spawn } = require('node:child_process');
const { EventEmitter, once } = require('node:events');
const { tmpdir } = require('node:os');
const { resolve } = require('node:path');
const { createInterface } = require('node:readline');
const { hasEnded, killAndWait, track } = require('./children.cjs');

/**
 * @typedef {{ level: string, message: string, [field: string]: unknown }} LogLine one line of an instance's log
 *
 * @typedef {object} InstanceProcess a running program
 * @property {string} name
 * @property {import('node:child_process').ChildProcess} process
 * @property {LogLine[]} log
 * @property {string[]} noise other lines on stderr, which are not part of its log
 * @property {string} stdout its stdout so far
 * @property {(what: string | ((line: LogLine) => boolean), from?: number) => Promise<LogLine>} logged the first line,
 * from `from` on, that has this message or that the function accepts
 * @property {() => Promise<unknown>} started resolves when it logs that it has started
 * @property {(name: NodeJS.Signals) => void} signal
 * @property {Promise<number | NodeJS.Signals>} exited resolves with the exit code, or the signal that ended it
 */

const ELECTED = 'elected: this instance is the generator';
const STARTED = 'started';

/** @type {Set<import('node:child_process').ChildProcess>} */
const instances = new Set();
let count = 0;

/**
 * Starts an instance with the board off and all log levels on.
 *
 * @param {Record<string, string>} env
 * @param {readonly string[]} [args] for Node.js, by default the built program
 * @param {string} [cwd] by default another directory, so that a developer's .env is not read
 * @param {ProgramOptions} [options]
 * @returns {InstanceProcess}
 */
function startInstance(env, args = [resolve('dist/main.js')], cwd = tmpdir(), options = {}) {
  const name = env.INSTANCE_NAME ?? `i${++count}`;
  const defaults = { BOARD: 'off', LOG_FORMAT: 'json', LOG_LEVEL: 'debug', INSTANCE_NAME: name };
  const program = startProgram(args, { ...defaults, ...env }, { cwd, ...options });
  instances.add(program.process);
  void program.exited.then(() => instances.delete(program.process));
  return { name, ...program };
}

/**
 * @typedef {object} ProgramOptions
 * @property {string} [cwd]
 * @property {string[]} [prefix] a command that runs Node.js, such as `ip netns exec <name>`
 * @property {(line: string) => void} [onLine] receives each line of stderr, which is then not kept
 * @property {(message: any) => void} [onMessage] receives what the program sends with `process.send`
 */

/**
 * Starts a Node.js program with only PATH and `env` in its environment.
 *
 * @param {readonly string[]} args
 * @param {Record<string, string | undefined>} env
 * @param {ProgramOptions} [options]
 */
function startProgram(args, env, { cwd = tmpdir(), prefix = [], onLine, onMessage } = {}) {
  const [file, ...rest] = [...prefix, process.execPath, ...args];
  const child = track(
    spawn(file, rest, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe', ...(onMessage ? ['ipc'] : [])],
      env: { PATH: process.env.PATH, ...env },
    }),
  );
  /** @type {LogLine[]} */
  const log = [];
  /** @type {string[]} */
  const noise = [];
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  if (onMessage) child.on('message', onMessage);
  const lines = new EventEmitter().setMaxListeners(100);
  let isStarted = false;
  createInterface(child.stderr).on('line', (text) => {
    isStarted ||= text.includes(`"message":"${STARTED}"`);
    if (onLine) onLine(text);
    else keep(text);
    lines.emit('line');
  });
  const exited = once(child, 'exit').then(([code, signal]) => {
    lines.emit('line');
    return code ?? signal;
  });

  /** @param {string} text */
  function keep(text) {
    try {
      log.push(JSON.parse(text));
    } catch {
      noise.push(text);
    }
  }

  /**
   * @template T
   * @param {() => T | undefined | false} look
   * @param {unknown} what
   * @returns {Promise<T>}
   */
  async function lineThat(look, what) {
    for (;;) {
      const found = look();
      if (found) return found;
      if (hasEnded(child)) {
        const last = [...noise, ...log.slice(-5).map((line) => JSON.stringify(line))].join('\n');
        throw new Error(`${env.INSTANCE_NAME} ended without logging ${what}: ${last}`);
      }
      await once(lines, 'line');
    }
  }

  return {
    process: child,
    log,
    noise,
    get stdout() {
      return stdout;
    },
    exited,
    signal: (/** @type {NodeJS.Signals} */ signal) => void child.kill(signal),
    started: () => lineThat(() => isStarted, STARTED),
    logged: (/** @type {string | ((line: LogLine) => boolean)} */ what, from = 0) => {
      const accepts =
        typeof what === 'string' ? (/** @type {LogLine} */ line) => line.message === what : what;
      return lineThat(() => log.slice(from).find(accepts), what);
    },
  };
}

/** Kills everything that startInstance has started. For afterEach. */
async function killAll() {
  await Promise.all([...instances].map(killAndWait));
}

module.exports = { startInstance, startProgram, killAll, ELECTED };
