// The task of the measured instances. BENCH configures it: { generate, handle }, both optional.
import { messages } from './messages.mjs';
import { meter } from '../measuring/meter.mjs';

const { generate: generating, handle: handling } = JSON.parse(process.env.BENCH ?? '{}');
const generated = generating && meter({ ...generating, role: 'generate' });
const handled = handling && meter({ ...handling, role: 'handle' });

/** Yields batches endlessly; resumes after each commit. */
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
