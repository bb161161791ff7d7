// The memory of a process, requested from outside; imported by the process and by its parent.
import { once } from 'node:events';

/** Requires --expose-gc. */
export function answerMemory() {
  process.on('message', (question) => {
    if (question !== 'memory') return;
    // One collection can make more objects collectable, so run several.
    for (let n = 0; n < 4; n++) globalThis.gc();
    process.send({ event: 'memory', heapMb: process.memoryUsage().heapUsed / 2 ** 20 });
  });
}

/** Returns the megabytes of heap after forced collections. */
export async function heapMb(child) {
  child.send('memory');
  for (;;) {
    const [message] = await once(child, 'message');
    if (message.event === 'memory') return message.heapMb;
  }
}
