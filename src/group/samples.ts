/*
 * History: how many messages were in which state over the last minutes, for whoever wants to look at them later.
 *
 * The leader takes a sample every few seconds and keeps it in Redis, so that it is the whole group's, outlives any
 * instance, and is there before anybody looks. Where no sample is, nobody led. Two leaders at a time, one of which does
 * not know yet that it is none, do no harm: the script takes no sample that comes too soon after the last.
 */
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';

/** Time between two samples, in milliseconds. */
export const HISTORY_STEP_MS = 5000;
/** Samples kept: fifteen minutes. */
const SAMPLES_KEPT = 180;

/**
 * One sample: milliseconds since 1970 on Redis's clock; messages waiting, in hand, delayed; and of all time, completed,
 * finally failed, generated.
 */
export type Sample = readonly [
  at: number,
  waiting: number,
  active: number,
  delayed: number,
  completed: number,
  failed: number,
  generated: number,
];

type SampledKeys = Pick<
  Keys,
  'history' | 'waiting' | 'active' | 'delayed' | 'completedCount' | 'failedCount' | 'cursor'
>;

/** KEYS: those of SampledKeys, in order. ARGV: least time since the last sample, samples kept. */
const SAMPLE_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('LINDEX', KEYS[1], -1)
local lastAt = last and tonumber(string.match(last, '^%[(%d+)'))
if lastAt and now >= lastAt and now - lastAt < tonumber(ARGV[1]) then return end
local count = function(key, field) return tonumber(redis.call('HGET', key, field) or 0) end
redis.call('RPUSH', KEYS[1], cjson.encode({
  now, redis.call('LLEN', KEYS[2]), redis.call('LLEN', KEYS[3]), redis.call('ZCARD', KEYS[4]),
  count(KEYS[5], 'count'), count(KEYS[6], 'count'), count(KEYS[7], 'generated')
}))
redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
`;

export interface SamplesOptions {
  readonly client: Redis;
  readonly keys: SampledKeys;
}

/** Takes samples until the signal aborts. Rejects when Redis does not answer. */
export async function recordSamples(
  { client, keys }: SamplesOptions,
  { signal, progress }: Activity,
): Promise<void> {
  const { history, waiting, active, delayed, completedCount, failedCount, cursor } = keys;
  const sampled = [history, waiting, active, delayed, completedCount, failedCount, cursor];
  while (!signal.aborted) {
    await client.eval(SAMPLE_SCRIPT, sampled.length, ...sampled, HISTORY_STEP_MS / 2, SAMPLES_KEPT);
    progress();
    await sleep(HISTORY_STEP_MS, signal);
  }
}

/** What is stored, the oldest first; anything that is no sample is left out. */
export function samplesOf(stored: readonly string[]): Sample[] {
  return stored.flatMap((json) => {
    try {
      const value = JSON.parse(json) as unknown;
      return isSample(value) ? [value] : [];
    } catch {
      return [];
    }
  });
}

function isSample(value: unknown): value is Sample {
  return Array.isArray(value) && value.length >= 7 && value.every((figure) => Number.isFinite(figure));
}
