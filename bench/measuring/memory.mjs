// The memory of a process, asked from outside: imported by what runs in it, and by its parent.
import { once } from 'node:events';

/** Needs --expose-gc. */
export function answerMemory() {
  process.on('message', (question) => {
    if (question !== 'memory') return;
    // What one collection finds dead may keep alive what only the next finds.
    for (let n = 0; n < 4; n++) globalThis.gc();
    process.send({ event: 'memory', heapMb: process.memoryUsage().heapUsed / 2 ** 20 });
  });
}

/** Megabytes of heap after forced collections. */
export async function heapMb(child) {
  child.send('memory');
  for (;;) {
    const [message] = await once(child, 'message');
    if (message.event === 'memory') return message.heapMb;
  }
}
