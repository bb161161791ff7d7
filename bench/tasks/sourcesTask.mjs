// Yields batches endlessly from each source, of the size in BENCH, after the start signal.
import { startSignal } from '../measuring/startSignal.mjs';
import { messages } from './messages.mjs';

const { batch } = JSON.parse(process.env.BENCH);
const started = startSignal();

export async function* generate({ cursor = 0, signal }) {
  await started;
  for (let number = cursor; !signal.aborted; number += batch) {
    yield { messages: messages(number + 1, batch, 100), cursor: number + batch };
  }
}

export function handle() {}
