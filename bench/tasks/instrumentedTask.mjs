// The task of the instances that are measured. BENCH says what it does: { generate, handle }, both optional.
import { messages } from './messages.mjs';
import { meter } from '../measuring/meter.mjs';

const { generate: generating, handle: handling } = JSON.parse(process.env.BENCH ?? '{}');
const generated = generating && meter({ ...generating, role: 'generate' });
const handled = handling && meter({ ...handling, role: 'handle' });

/** Batches without end; each comes back here once it is committed. */
export async function* generate({ cursor = 0, signal }) {
  if (generating === undefined) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return;
  }
  const { batch, bytes } = generating;
  for (let number = cursor; !signal.aborted; number += batch) {
    yield { messages: messages(number + 1, batch, bytes), cursor: number + batch };
    generated(batch);
  }
}

export function handle() {
  handled?.();
}
