import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

it('half a minute of faults loses and doubles nothing', async () => {
  const child = spawn(
    process.execPath,
    ['chaos/run.mjs', '--minutes', '0.4', '--seed', '7', '--instances', '3'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  // All of it, so that a failure shows what happened.
  expect(output).toContain('lost 0, doubled 0, violations 0');
  expect(child.exitCode).toBe(0);
}, 150_000);
