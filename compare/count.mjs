/** Counts missing and repeated numbers among numbers that should occur once each. */
export function compareWith(expected, found) {
  const seen = new Set(found);
  return { lost: expected.filter((value) => !seen.has(value)).length, doubled: found.length - seen.size };
}

/** Returns the numbers of all jobs that were ever added to a queue, in the order of addition. */
export async function numbersIn(redis, queue) {
  const count = Number(await redis.get(`${queue}:id`));
  const pipeline = redis.pipeline();
  for (let id = 1; id <= count; id++) pipeline.hget(`${queue}:${id}`, 'data');
  const results = count === 0 ? [] : await pipeline.exec();
  return results.map(([, data]) => JSON.parse(data).number);
}

export const upTo = (last) => Array.from({ length: last }, (_, index) => index + 1);

/** Waits until the condition returns a value; throws after a generous timeout. */
export async function until(condition, what, patienceMs = 120_000) {
  const giveUpAt = performance.now() + patienceMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > giveUpAt) throw new Error(`not within ${patienceMs / 1000} s: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
