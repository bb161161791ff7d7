// Faults of the task in every instance: `generate` fails, and everything that does not depend on it continues.
import { setTimeout as sleep } from 'node:timers/promises';
import { stopInOrder } from './processes.mjs';

export function taskFaults(world) {
  // Long enough to be noticed. After longer ones, instances that have failed several times wait longer than 5 s.
  const common = { scope: 'task', length: [3000, 6000], weight: 1.5, excuses: () => false };
  const order = (how) => async (_, ms) => {
    await world.order('orders', `${how} ${ms}`);
    await sleep(ms);
  };
  return [
    { ...common, kind: 'generateThrows', inject: order('throw') },
    // Ignores its signal.
    { ...common, kind: 'generateHangs', inject: order('hang') },
    {
      ...common,
      kind: 'generateReturns',
      async inject(_, ms) {
        await order('return')(_, ms);
        // Instances heard the order a little later, and a generator that starts too early would return as well.
        await sleep(500);
        // Only the next generator starts again.
        const { generators } = await world.leaders();
        for (const leader of world.instances.filter(({ name }) => generators.includes(name)))
          await stopInOrder(world, leader);
      },
    },
  ];
}
