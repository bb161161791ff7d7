import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From start to end, in milliseconds. */
  readonly ms: number;
}

/** Runs the built program to its end, with nothing in its environment but PATH and `env`, where no .env lies. */
export async function runCommand(
  args: string[],
  env: Record<string, string> = {},
  cwd = tmpdir(),
): Promise<CommandResult> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [resolve('dist/main.js'), ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...env },
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, stdout, stderr, ms: performance.now() - startedAt };
}
