#!/usr/bin/env node
import './compileCache';
import { statSync } from 'node:fs';
import { runCommandLine } from './cli';
import type { Environment } from './configuration/config';
import { AppError, toError } from './errors';
import { nextSteps, programName } from './terminal/invocation';
import { aborted, sleep } from './time';
import { version } from '../package.json';

/*
 * The only module that reads the process's arguments and environment, handles its signals and ends it.
 */

// Each write reports its own errors, see below.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

readEnvFile();
// An empty value counts as not set (https://no-color.org), but not for Node.js 20.
if (process.env['NO_COLOR'] === '') delete process.env['NO_COLOR'];

runCommandLine(process.argv.slice(2), {
  env: process.env,
  version,
  program: program(),
  write,
  tell: (text) => void process.stderr.write(`${text}\n`),
  stdout: process.stdout,
  stderr: process.stderr.isTTY ? process.stderr : undefined,
  ask: process.stdin.isTTY && process.stderr.isTTY ? ask : undefined,
  screenSize() {
    if (!process.stdout.isTTY) return undefined;
    // A terminal whose size was never set reports 0.
    return { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
  },
  stopSignal,
  async run(env) {
    const stop = stopSignal();
    const { EmbeddedInstance } = await import('./instance/embedding.js');
    // Without a board, nothing could read the metrics.
    const instance = new EmbeddedInstance({ env, metrics: false });
    const starting = instance.start();
    await Promise.race([starting, aborted(stop)]);
    if (!stop.aborted) await explain(env);
    await aborted(stop);
    // The start might wait forever. No message is active until it has completed.
    const settled = starting.then(
      () => true,
      () => true,
    );
    if (await Promise.race([settled, sleep(START_TIMEOUT_MS)])) await instance.stop();
  },
}).then(
  // Handles that a task or a library has left open must not keep the process alive.
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${toError(error).stack}\n`);
    process.exit(1);
  },
);

function program(): string {
  return programName({ script: process.argv[1], npm: process.env['npm_execpath'] });
}

/** Tells a user who reads the log what to do next. */
async function explain(env: Environment): Promise<void> {
  const { resolveConfig } = await import('./configuration/config.js');
  const { logFormat, logLevel, namespace } = resolveConfig(env);
  const isRead = process.stderr.isTTY && logFormat !== 'json' && ['info', 'debug'].includes(logLevel);
  if (isRead) process.stderr.write(nextSteps(program(), namespace));
}

function readEnvFile(): void {
  // A directory with that name is probably a Python virtual environment.
  const found = statSync('.env', { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory()) return;
  try {
    process.loadEnvFile('.env');
  } catch (error) {
    process.stderr.write(`error: .env cannot be read: ${toError(error).message}\n`);
    process.exit(2);
  }
}

/** A reader that closes the pipe (`| head`) is not a failure; a full disk is. */
function write(text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const done = (error?: NodeJS.ErrnoException | null) => {
      if (!error) resolve(true);
      else if (error.code === 'EPIPE') resolve(false);
      else reject(new AppError(`stdout cannot be written: ${error.message}`, 1, { cause: error }));
    };
    try {
      process.stdout.write(text, done);
    } catch (error) {
      // Files are written synchronously, and some versions of Node.js throw the disk's error.
      done(toError(error));
    }
  });
}

async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question);
  } finally {
    lines.close();
  }
}

/**
 * One Ctrl-C can arrive twice, from the terminal and from npm, some milliseconds apart. A signal that follows this soon
 * does not count as a second one.
 */
const SAME_CTRL_C_MS = 50;

/** How long to wait for the start to complete once the instance is told to stop, in milliseconds. */
const START_TIMEOUT_MS = 3000;

function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  let stoppedAt = 0;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (!stopping.signal.aborted) {
        stoppedAt = performance.now();
        stopping.abort();
      } else if (name === 'SIGTERM' || performance.now() - stoppedAt > SAME_CTRL_C_MS) {
        process.stderr.write('stopped by force: an active message will be redelivered\n');
        process.exit(1);
      }
    });
  }
  return stopping.signal;
}
