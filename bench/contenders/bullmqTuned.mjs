// BullMQ with the options that an instance gives its worker: see src/handling/bullWorker.ts.
import { bullmqWith } from './bullmqWith.mjs';

export const { fill, handle } = bullmqWith({
  removeOnComplete: { count: 1000 },
  lockDuration: 30_000,
  stalledInterval: 7_500,
  maxStalledCount: Number.MAX_SAFE_INTEGER,
  runRetryDelay: 500,
});
