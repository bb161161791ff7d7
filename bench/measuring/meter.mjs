// Measures throughput inside the process, with the same code in every contender.

/**
 * Must be called once per message. Measures `count` messages after `warmUp` messages. Tells the parent when
 * the first has arrived, when the measurement starts, and its result.
 */
export function meter({ warmUp, count, role }) {
  let seen = 0;
  let startedAt, cpu;
  return (messages = 1) => {
    const before = seen;
    seen += messages;
    if (before === 0) process.send({ event: 'first', role });
    if (startedAt === undefined && seen >= warmUp) {
      // Messages that arrive together with the last one of the warm-up count as warm-up.
      warmUp = seen;
      cpu = process.cpuUsage();
      process.send({ event: 'began' });
      startedAt = performance.now();
    } else if (before < warmUp + count && seen >= warmUp + count) {
      const ms = performance.now() - startedAt;
      const { user, system } = process.cpuUsage(cpu);
      process.send({ event: 'ended', count: seen - warmUp, ms, cpuMs: (user + system) / 1000 });
    }
  };
}
