// Faults of the process of an instance.
import { setTimeout as sleep } from 'node:timers/promises';
import { ANY_LENGTH, outlastsLock } from './lengths.mjs';

export const processFaults = (world) => [
  {
    kind: 'kill',
    weight: 5,
    scope: 'instance',
    excuses: () => true,
    async inject(victim) {
      world.remove(victim);
      victim.signal('SIGKILL');
      await victim.exited;
      await world.add();
    },
  },
  {
    // It is stopped by SIGTERM and shuts down cleanly.
    kind: 'stop',
    weight: 3,
    scope: 'instance',
    excuses: () => false,
    inject: (victim) => stopInOrder(world, victim),
  },
  {
    // It is paused and resumed.
    kind: 'pause',
    weight: 3,
    scope: 'instance',
    length: ANY_LENGTH,
    excuses: outlastsLock,
    async inject(victim, ms) {
      victim.signal('SIGSTOP');
      await sleep(ms);
      victim.signal('SIGCONT');
    },
  },
  {
    // Its event loop is blocked.
    kind: 'block',
    weight: 2,
    scope: 'instance',
    length: ANY_LENGTH,
    excuses: outlastsLock,
    async inject(victim, ms) {
      await world.order(victim.name, `block ${ms}`);
      await sleep(ms);
    },
  },
  {
    // Its wall clock jumps forward or back by up to an hour.
    kind: 'clock',
    weight: 2,
    scope: 'instance',
    length: [200, 3000],
    excuses: () => false,
    detail: (draw) => Math.round(draw.between(-3_600_000, 3_600_000)),
    async inject(victim, ms, offset) {
      await world.order(victim.name, `jump ${offset}`);
      await sleep(ms);
      await world.order(victim.name, `jump ${-offset}`);
    },
  },
];

export async function stopInOrder(world, victim) {
  world.remove(victim);
  victim.signal('SIGTERM');
  const code = await victim.exited;
  if (code !== 0) world.violation(`${victim.name} ended with ${code} at SIGTERM, expected 0`);
  await world.add();
}
