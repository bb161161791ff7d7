// The machine and the versions of the figures.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { resolve } from 'node:path';

/** Returns the version of an installed package; undefined if it is not installed. */
function versionIn(directory) {
  const file = resolve(directory, 'package.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : undefined;
}

export function describeMachine() {
  const processors = cpus();
  return {
    processor: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
    system: `${type()} ${release()}`,
    node: process.version,
    redis: /v=(\S+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))[1],
    bullmq: versionIn('node_modules/bullmq'),
    bull: versionIn('bench/peers/node_modules/bull'),
    beeQueue: versionIn('bench/peers/node_modules/bee-queue'),
  };
}
