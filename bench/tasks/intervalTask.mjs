// Generates a number every few milliseconds and does nothing with it.
import { setTimeout as sleep } from 'node:timers/promises';

export async function* generate({ cursor = 0, signal }) {
  for (let number = cursor + 1; !signal.aborted; number++) {
    yield { messages: [{ number }], cursor: number };
    await sleep(5, undefined, { signal }).catch(() => undefined);
  }
}

export function handle() {}
