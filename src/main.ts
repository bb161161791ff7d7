#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { runCommandLine } from './cli';
import { toError } from './errors';
import { aborted } from './time';
import { version } from '../package.json';

/*
 * The only place that reads the process's arguments and environment, hears its signals and ends it.
 */

// A reader that goes away (`| head`) is no failure; each write tells whether it got through.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

if (existsSync('.env')) process.loadEnvFile('.env');

runCommandLine(process.argv.slice(2), {
  env: process.env,
  version,
  write: (text) => new Promise((resolve) => process.stdout.write(text, (error) => resolve(!error))),
  tell: (text) => void process.stderr.write(`${text}\n`),
  isTerminal: process.stdout.isTTY,
  stopSignal,
  async run(env) {
    const stop = stopSignal();
    const { createInstance } = await import('./index.js');
    const instance = createInstance({ env });
    await instance.start();
    await aborted(stop);
    await instance.stop();
  },
}).then(
  // Whatever a task or a library has left open must not keep the process.
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${toError(error).stack}\n`);
    process.exit(1);
  },
);

function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(1);
      stopping.abort();
    });
  }
  return stopping.signal;
}
