// The task of the million: numbers from 1 to `total` as soon as it is told to go, and a handler that does nothing and
// fails every hundredth.
import { answerMemory } from './memory.mjs';
import { toldToGo } from './go.mjs';
import { messages } from './messages.mjs';

const { total, batch } = JSON.parse(process.env.BENCH);
const go = toldToGo();
answerMemory();

export async function* generate({ cursor = 0 }) {
  await go;
  for (let number = cursor; number < total; number += batch) {
    const count = Math.min(batch, total - number);
    yield { messages: messages(number + 1, count), cursor: number + count };
  }
}

export function handle({ number }) {
  if (number % 100 === 0) throw new Error(`number ${number} fails`);
}
