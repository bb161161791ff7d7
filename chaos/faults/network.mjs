// What happens to the link of an instance that has a network namespace of its own.
import { setTimeout as sleep } from 'node:timers/promises';
import { QUIET_MS } from '../watch.mjs';
import { ANY_LENGTH, outlastsLock } from './lengths.mjs';

export function networkFaults(_world, random) {
  // TCP waits as long again before it sends the next time.
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
      // Down and up again, over and over.
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
