/*
 * Samples: how many messages were in which state over the last minutes.
 *
 * The keeper takes a sample every few seconds and keeps it in Redis, so that it covers the whole group, outlives any
 * instance, and is available before anybody opens a page. A gap means that there was no keeper. A brief overlap between
 * two keepers is harmless: the script takes no sample too soon after the last one.
 */
import type { Redis } from 'ioredis';
import * as v from 'valibot';
import type { Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';

/** Time between two samples, in milliseconds. */
export const SAMPLE_INTERVAL_MS = 5000;
/** Number of samples kept: fifteen minutes. */
const SAMPLES_KEPT = 180;

const figure = v.pipe(v.number(), v.finite());

/**
 * Milliseconds since 1970 on Redis's clock; messages waiting, active, delayed; and the total counts of completed,
 * finally failed, and added to the queue.
 */
const sample = v.tuple([figure, figure, figure, figure, figure, figure, figure]);

export type Sample = Readonly<v.InferOutput<typeof sample>>;

type SampledKeys = Pick<
  Keys,
  'history' | 'waiting' | 'active' | 'delayed' | 'failed' | 'jobCounter' | 'recorder'
>;

const TAKE_SAMPLE = loadScript(__dirname, 'takeSample');

export interface SamplesOptions {
  readonly client: Redis;
  readonly keys: SampledKeys;
}

/** Takes samples until the signal aborts. Rejects when Redis does not answer. */
export async function recordSamples(
  { client, keys }: SamplesOptions,
  { signal, progress }: Activity,
): Promise<void> {
  const { history, waiting, active, delayed, failed, jobCounter, recorder } = keys;
  const sampled = [history, waiting, active, delayed, failed, jobCounter, recorder];
  while (!signal.aborted) {
    await client.eval(TAKE_SAMPLE, sampled.length, ...sampled, SAMPLE_INTERVAL_MS / 2, SAMPLES_KEPT);
    progress();
    await sleep(SAMPLE_INTERVAL_MS, signal);
  }
}

/** Parses stored samples, oldest first; drops invalid ones. */
export function parseSamples(stored: readonly string[]): Sample[] {
  return stored.flatMap((json) => {
    try {
      const parsed = v.safeParse(sample, JSON.parse(json));
      return parsed.success ? [parsed.output] : [];
    } catch {
      return [];
    }
  });
}
