// BullMQ as its users write it: `new Worker('messages', handler)`, and jobs without options.
import { bullmqWith } from './bullmqWith.mjs';

export const { fill, handle, generate, produce, consume } = bullmqWith({});
