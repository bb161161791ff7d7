// The peers are dependencies of the benchmark only, installed separately, since some need another ioredis.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const DIRECTORY = import.meta.dirname;

export function installPeers() {
  if (existsSync(resolve(DIRECTORY, 'node_modules/bull'))) return;
  console.error('installing Bull and bee-queue into bench/peers/node_modules');
  execFileSync('npm', ['ci', '--prefix', DIRECTORY, '--ignore-scripts', '--no-fund', '--no-audit'], {
    stdio: ['ignore', 2, 2],
  });
}
