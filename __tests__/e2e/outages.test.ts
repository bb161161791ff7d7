import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

// One duration of each kind; `node chaos/sweep.mjs` runs all of them.
it('every promise holds again 5 s after Redis was down or paused', async () => {
  const args = ['chaos/sweep.mjs', '--faults', 'redisDown,redisPaused', '--lengths', '2500', '--pace', '100'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  expect(output).toContain('violations 0');
  expect(child.exitCode).toBe(0);
}, 120_000);
