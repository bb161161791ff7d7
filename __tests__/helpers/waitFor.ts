import { setTimeout as sleep } from 'node:timers/promises';

/** The first value that is neither false, undefined nor null. For what Redis holds, which tells nobody when it changes. */
export async function waitFor<T>(
  look: () => Promise<T | false | undefined | null> | T | false | undefined | null,
  what: string,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== false && value !== undefined && value !== null) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(20);
  }
}
