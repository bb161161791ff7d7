// One measurement: one contender, one role, on an empty Redis.

/** More than any measurement takes. */
const PATIENCE_MS = 600_000;

/**
 * @param role `handle`: what it handles waits already. `generate`: nobody handles what it generates.
 * @returns messages a second; microseconds of processor time for each message, of the contender and of Redis
 */
export async function measure(server, contender, role, settings) {
  await server.clear();
  const { warmUp, count, concurrency = 1 } = settings;
  // Enough that the queue does not run dry before the last one counted has come.
  if (role === 'handle')
    await contender.fill(server, { ...settings, count: warmUp + count + 2 * concurrency });
  return measureOn(server, contender, role, settings);
}

/** As `measure`, on the queue that is there. */
export async function measureOn(server, contender, role, settings) {
  await server.forgetInstances();
  const ended = withResolvers();
  let redisBefore = NaN;
  const running = await contender.start(server, role, settings, (message) => {
    if (message.event === 'began') redisBefore = server.cpuSeconds();
    if (message.event === 'ended') ended.resolve({ ...message, redis: server.cpuSeconds() - redisBefore });
  });
  const failed = (why) => ended.reject(new Error(`${contender.label}: ${why}`));
  void running.exited.then((code) => failed(`ended by itself (${code})`));
  const timer = setTimeout(() => failed('took too long'), PATIENCE_MS);
  try {
    const { count, ms, cpuMs, redis } = await ended.promise;
    return { rate: (count / ms) * 1000, cpuUs: (cpuMs / count) * 1000, redisUs: (redis / count) * 1e6 };
  } finally {
    clearTimeout(timer);
    await running.stop();
  }
}

function withResolvers() {
  let resolve, reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}
