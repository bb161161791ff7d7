import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Duration in milliseconds. */
  readonly ms: number;
}

/** Timeout in milliseconds; a command that takes longer is killed, and its code is null. */
const PATIENCE_MS = 30_000;

/**
 * Runs the built program until it exits, with only PATH and `env` in its environment.
 *
 * @param cwd by default a directory without a .env file
 */
export function runCommand(
  args: readonly string[],
  env: Record<string, string> = {},
  cwd?: string,
): Promise<CommandResult> {
  return run(process.execPath, [resolve('dist/main.js'), ...args], env, cwd);
}

/** Like runCommand, for a bash script in which `nic` is the program. A pipeline fails if any part of it does. */
export function runScript(
  script: string,
  env: Record<string, string> = {},
  cwd?: string,
): Promise<CommandResult> {
  const nic = `nic() { "${process.execPath}" "${resolve('dist/main.js')}" "$@"; }`;
  return run('bash', ['-c', `set -o pipefail\n${nic}\n${script}`], env, cwd);
}

async function run(
  file: string,
  args: string[],
  env: Record<string, string>,
  cwd?: string,
): Promise<CommandResult> {
  const directory = cwd ?? mkdtempSync(join(tmpdir(), 'nic-command-'));
  const startedAt = performance.now();
  const child = spawn(file, args, {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...env },
    // In its own process group, so that a whole pipeline can be killed.
    detached: true,
  });
  const patience = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), PATIENCE_MS);
  try {
    const [stdout, stderr] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ]);
    return { code: child.exitCode, stdout, stderr, ms: performance.now() - startedAt };
  } finally {
    clearTimeout(patience);
    if (cwd === undefined) rmSync(directory, { recursive: true, force: true });
  }
}
