// How fast something goes, seen from inside the process that does it: the same few lines in every contender.

/**
 * To be called once for each message. After `warmUp` of them the time runs, for `count` of them. Tells the parent when
 * the first has come, when the time begins to run, and what came out.
 */
export function meter({ warmUp, count, role }) {
  let seen = 0;
  let startedAt, cpu;
  return (messages = 1) => {
    const before = seen;
    seen += messages;
    if (before === 0) process.send({ event: 'first', role });
    if (startedAt === undefined && seen >= warmUp) {
      // What came with the message that ended the warming up counts as warming up.
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
