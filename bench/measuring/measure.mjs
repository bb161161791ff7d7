// One measurement: one contender, one role, on an empty Redis.

/** Timeout of a measurement, in milliseconds. */
const TIMEOUT_MS = 600_000;

/**
 * @param role `handle`: its messages are already waiting. `generate`: nobody handles its messages.
 * @returns messages per second; microseconds per message: CPU time of the contender and of Redis, and Redis's time by
 * command, where the time of a script includes that of its commands
 */
export async function measure(server, contender, role, settings) {
  await server.clear();
  const { warmUp, count, concurrency = 1 } = settings;
  // Enough to keep the queue from running empty before the last counted message.
  if (role === 'handle')
    await contender.fill(server, { ...settings, count: warmUp + count + 2 * concurrency });
  return measureOn(server, contender, role, settings);
}

/** Like `measure`, on the existing queue. */
export async function measureOn(server, contender, role, settings) {
  await server.forgetInstances();
  const ended = withResolvers();
  let redisBefore = NaN;
  let statsBefore;
  const running = await contender.start(server, role, settings, (message) => {
    if (message.event === 'began') [redisBefore, statsBefore] = [server.cpuSeconds(), server.commandStats()];
    if (message.event === 'ended') {
      const redis = server.cpuSeconds() - redisBefore;
      ended.resolve({ ...message, redis, statsBefore, statsAfter: server.commandStats() });
    }
  });
  const failed = (why) => ended.reject(new Error(`${contender.label}: ${why}`));
  void running.exited.then((code) => failed(`ended by itself (${code})`));
  const timer = setTimeout(() => failed('took too long'), TIMEOUT_MS);
  try {
    const { count, ms, cpuMs, redis, ...stats } = await ended.promise;
    const [before, after] = await Promise.all([stats.statsBefore, stats.statsAfter]);
    const commandUs = (...names) =>
      names.reduce((sum, name) => sum + ((after[name]?.us ?? 0) - (before[name]?.us ?? 0)) / count, 0);
    return {
      rate: (count / ms) * 1000,
      cpuUs: (cpuMs / count) * 1000,
      redisUs: (redis / count) * 1e6,
      commandUs,
    };
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
