/** What is missing and what is there more than once, of numbers that should be there once each. */
export function compareWith(expected, found) {
  const seen = new Set(found);
  return { lost: expected.filter((value) => !seen.has(value)).length, doubled: found.length - seen.size };
}

/** The numbers of all jobs that a queue was ever given, in the order in which it got them. */
export async function numbersIn(redis, queue) {
  const count = Number(await redis.get(`${queue}:id`));
  const pipeline = redis.pipeline();
  for (let id = 1; id <= count; id++) pipeline.hget(`${queue}:${id}`, 'data');
  const results = count === 0 ? [] : await pipeline.exec();
  return results.map(([, data]) => JSON.parse(data).number);
}

export const upTo = (last) => Array.from({ length: last }, (_, index) => index + 1);

/** Until the condition gives something; gives up after a time in which anything here has happened. */
export async function until(condition, what, patienceMs = 120_000) {
  const giveUpAt = performance.now() + patienceMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > giveUpAt) throw new Error(`not within ${patienceMs / 1000} s: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
