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
 * The only place that reads the process's arguments and environment, hears its signals and ends it.
 */

// Each write tells how it went, see below.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

readEnvFile();
// Set to nothing it counts as not set (https://no-color.org), but not to Node.js 20.
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
    // A terminal that was never told its size says 0.
    return { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
  },
  stopSignal,
  async run(env) {
    const stop = stopSignal();
    const { EmbeddedInstance } = await import('./instance/embedding.js');
    // Without a board, nobody could ask for metrics.
    const instance = new EmbeddedInstance({ env, metrics: false });
    const starting = instance.start();
    await Promise.race([starting, aborted(stop)]);
    if (!stop.aborted) await explain(env);
    await aborted(stop);
    // What starting waits for might never come. Nothing has been taken in hand until it has.
    const settled = starting.then(
      () => true,
      () => true,
    );
    if (await Promise.race([settled, sleep(START_PATIENCE_MS)])) await instance.stop();
  },
}).then(
  // Whatever a task or a library has left open must not keep the process.
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${toError(error).stack}\n`);
    process.exit(1);
  },
);

function program(): string {
  return programName({ script: process.argv[1], npm: process.env['npm_execpath'] });
}

/** To a person who looks at the log, what to do now. */
async function explain(env: Environment): Promise<void> {
  const { resolveConfig } = await import('./configuration/config.js');
  const { logFormat, logLevel, namespace } = resolveConfig(env);
  const isRead = process.stderr.isTTY && logFormat !== 'json' && ['info', 'debug'].includes(logLevel);
  if (isRead) process.stderr.write(nextSteps(program(), namespace));
}

function readEnvFile(): void {
  // A directory of that name is somebody's Python.
  const found = statSync('.env', { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory()) return;
  try {
    process.loadEnvFile('.env');
  } catch (error) {
    process.stderr.write(`error: .env can not be read: ${toError(error).message}\n`);
    process.exit(2);
  }
}

/** A reader that goes away (`| head`) is no failure; a full disk is. */
function write(text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const done = (error?: NodeJS.ErrnoException | null) => {
      if (!error) resolve(true);
      else if (error.code === 'EPIPE') resolve(false);
      else reject(new AppError(`stdout can not be written: ${error.message}`, 1, { cause: error }));
    };
    try {
      process.stdout.write(text, done);
    } catch (error) {
      // Files are written at once, and some versions of Node.js throw what the disk says.
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
 * One Ctrl-C may arrive twice, from the terminal and from npm, some milliseconds apart: what follows that soon is no
 * second wish of anybody.
 */
const SAME_CTRL_C_MS = 50;

/** How long starting is waited for once the instance is told to stop, in milliseconds. */
const START_PATIENCE_MS = 3000;

function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  let stoppedAt = 0;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (!stopping.signal.aborted) {
        stoppedAt = performance.now();
        stopping.abort();
      } else if (name === 'SIGTERM' || performance.now() - stoppedAt > SAME_CTRL_C_MS) {
        process.stderr.write('stopped by force: a message in hand will be redelivered\n');
        process.exit(1);
      }
    });
  }
  return stopping.signal;
}
