import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Checks the prerequisites of the suite once, with a clear message. */
export default function globalSetup(): void {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
  } catch {
    throw new Error('the tests need redis-server on PATH: run `npm run setup`');
  }
  if (!existsSync('dist/main.js')) throw new Error('the tests run the built program: run `npm run build`');
}
