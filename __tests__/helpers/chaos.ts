import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

const endings: (() => void)[] = [];
afterEach(() => {
  for (const end of endings.splice(0)) end();
});

/**
 * Runs a script of chaos/ to its end, and gives what it said. What it has started ends with the test at the latest, also
 * where the test took too long.
 */
export async function runChaos(script: string, args: readonly string[]): Promise<string> {
  // A process group of its own.
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  endings.push(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // Nobody of it is left.
    }
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (child.exitCode !== 0) throw new Error(`${script} ended with exit code ${child.exitCode}:\n${output}`);
  return output;
}

/** Injects faults, and fails with all that was said unless the checker finds nothing lost and nothing doubled. */
export async function expectToSurvive(args: readonly string[]): Promise<void> {
  const output = await runChaos('chaos/run.mjs', ['--instances', '3', ...args]);
  expect(output).toContain('lost 0, doubled 0, violations 0');
}
