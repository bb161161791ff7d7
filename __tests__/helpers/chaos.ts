import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** Injects faults, and fails with the whole output if the checker finds lost or duplicated messages. */
export async function expectToSurvive(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ['chaos/run.mjs', '--instances', '3', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  expect(output).toContain('lost 0, doubled 0, violations 0');
  expect(child.exitCode).toBe(0);
}
