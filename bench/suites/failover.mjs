// The time without generation: from the end of a generator to the first commit of the next one.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openGroup } from '../measuring/group.mjs';
import { quantile } from '../../testkit/statistics.cjs';
import { figure, table } from '../reporting/figures.mjs';

const INSTANCES = 4;
const LEASE_TTL_MS = 5000;
const ENDS = [
  { name: 'crash', label: 'it crashed (SIGKILL)', signal: 'SIGKILL' },
  { name: 'stop', label: 'it was stopped (SIGTERM)', signal: 'SIGTERM' },
  { name: 'pause', label: 'it was paused (SIGSTOP)', signal: 'SIGSTOP' },
];

export async function failover({ server, rounds, quick, progress }) {
  const { client } = server;
  const group = openGroup(client, {
    REDISURL: server.url,
    TASK: resolve(import.meta.dirname, '../tasks/intervalTask.mjs'),
    LEASE_TTL_MS: String(LEASE_TTL_MS),
  });
  for (let n = 0; n < INSTANCES; n++) group.start();

  /** Waits for a leader that has committed. */
  const committed = () =>
    group.until(async () => {
      const { instance, term, committed } = await group.state();
      return committed === term && group.instances.has(instance) && { instance, term };
    }, 5);

  async function endOne(signal) {
    const { instance, term } = await committed();
    // Long enough for the others to have seen it, at a random point between two renewals.
    await sleep(1000 + Math.random() * 1700);
    const victim = group.take(instance);
    const startedAt = performance.now();
    victim.signal(signal);
    await group.until(async () => (await group.state()).committed > term, 1);
    const ms = performance.now() - startedAt;
    if (signal === 'SIGSTOP') victim.signal('SIGKILL');
    await victim.exited;
    group.start();
    return ms;
  }

  const times = new Map(ENDS.map(({ name }) => [name, []]));
  // Several of each kind per round; a pause takes as long as a lease.
  for (let round = 0; round < rounds; round++) {
    for (const { name, label, signal } of ENDS) {
      const most = name === 'pause' ? (quick ? 0 : 2) : quick ? 2 : 10;
      for (let n = 0; n < most; n++) {
        progress.say(`failover, ${label}: ${n + 1} of ${most}, round ${round + 1} of ${rounds}`);
        times.get(name).push(await endOne(signal));
      }
    }
  }
  await group.killAll();

  const figures = ENDS.filter(({ name }) => times.get(name).length > 0).map(({ name, label }) => {
    const all = times.get(name);
    return figure(`failover.${name}`, label, 'ms', all, {
      also: { 'p99 ms': quantile(all, 0.99), times: all.length },
    });
  });
  const about =
    `${INSTANCES} instances, LEASE_TTL_MS=${LEASE_TTL_MS}: from the signal to the next generator's first committed ` +
    'message.';
  return [table('Failover and hand-over', about, figures)];
}
