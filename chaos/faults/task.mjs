// What happens in the task of every instance: `generate` fails, and all that does not depend on it goes on.
import { setTimeout as sleep } from 'node:timers/promises';
import { stopInOrder } from './processes.mjs';

export function taskFaults(world) {
  // Long enough to be noticed. After a longer one, those who have failed several times wait longer than 5 s.
  const common = { scope: 'task', length: [3000, 6000], weight: 1.5, excuses: () => false };
  const order = (how) => async (_, ms) => {
    await world.order('orders', `${how} ${ms}`);
    await sleep(ms);
  };
  return [
    { ...common, kind: 'generateThrows', inject: order('throw') },
    // Deaf to its signal.
    { ...common, kind: 'generateHangs', inject: order('hang') },
    {
      ...common,
      kind: 'generateReturns',
      async inject(_, ms) {
        await order('return')(_, ms);
        // Only the next generator begins again.
        const { generator } = await world.leaders();
        const leader = world.instances.find(({ name }) => name === generator);
        if (leader) await stopInOrder(world, leader);
      },
    },
  ];
}
