// The task of the million: generates the numbers from 1 to `total` on the start signal; its handler does nothing and
// fails every hundredth message.
import { answerMemory } from '../measuring/memory.mjs';
import { startSignal } from '../measuring/startSignal.mjs';
import { messages } from './messages.mjs';

const { total, batch } = JSON.parse(process.env.BENCH);
const started = startSignal();
answerMemory();

export async function* generate({ cursor = 0 }) {
  await started;
  for (let number = cursor; number < total; number += batch) {
    const count = Math.min(batch, total - number);
    yield { messages: messages(number + 1, count), cursor: number + count };
  }
}

export function handle({ number }) {
  if (number % 100 === 0) throw new Error(`number ${number} fails`);
}
