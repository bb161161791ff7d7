// Faults of the link of an instance in its own network namespace.
import { setTimeout as sleep } from 'node:timers/promises';
import { QUIET_MS } from '../watch.mjs';
import { ANY_LENGTH, outlastsLock } from './lengths.mjs';

export function networkFaults(_world, random) {
  // TCP doubles its wait before each retransmission.
  const excuses = (ms) => outlastsLock(2 * ms);
  const common = {
    scope: 'instance',
    modes: ['network'],
    length: ANY_LENGTH,
    excuses,
    settleMs: QUIET_MS,
    weight: 5,
  };
  return [
    {
      ...common,
      kind: 'linkDown',
      async inject({ link }, ms) {
        link.set('down');
        await sleep(ms);
        link.set('up');
      },
    },
    {
      ...common,
      // One direction is lost.
      kind: 'oneWay',
      detail: (draw) => draw.oneOf(['requests', 'responses']),
      async inject({ link }, ms, direction) {
        link.lose(direction);
        await sleep(ms);
        link.heal(direction);
      },
    },
    {
      ...common,
      // The link goes down and up repeatedly.
      kind: 'flapping',
      async inject({ link }, ms) {
        const until = performance.now() + ms;
        while (performance.now() < until) {
          link.set('down');
          await sleep(random.between(20, 400));
          link.set('up');
          await sleep(random.between(20, 400));
        }
      },
    },
  ];
}
