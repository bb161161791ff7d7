// Injects one fault after another for every given length; 5 s after each of them every promise must hold again.
//
//   node chaos/sweep.mjs [--faults redisDown,redisPaused,...] [--lengths 200:6000:200,8000,12000] [--instances 2]
//                        [--pace 25]
//
// `npm run chaos` draws faults and lengths at random; this script runs all of them. Faults of an instance strike each
// instance in turn, and `cutRole` each role. Exits with code 1 on any violation, and then keeps the logs.
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { killOnExit } from '../testkit/children.cjs';
import { ROLES } from '../testkit/connectionRoles.cjs';
import { faultsFor } from './faults/faults.mjs';
import { seededRandom } from './random.mjs';
import { untilProcessed, verdict } from './verdict.mjs';
import { QUIET_MS, startWatch } from './watch.mjs';
import { openWorld } from './world.mjs';

/** How long every promise is checked after the recovery time, in milliseconds. */
const WATCHED_MS = 1200;

const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: 'redisDown' },
    lengths: { type: 'string', default: '200:6000:200,8000,10000,12000' },
    instances: { type: 'string', default: '2' },
    pace: { type: 'string', default: '25' },
  },
});
killOnExit();
const world = await openWorld('single', { env: { PACE_MS: values.pace } });
const random = seededRandom(1);
const faults = faultsFor(world, random, { faults: values.faults.split(','), actions: [] });
await Promise.all(Array.from({ length: Number(values.instances) }, () => world.add()));
await world.generating();
const watch = startWatch(world);

let id = 0;
let changes = 0;
const failed = [];
const cases = faults.flatMap(casesOf);
for (const { fault, victim, ms, detail } of cases) {
  const before = await world.leaders();
  const event = { id: ++id, kind: fault.kind, i: victim.name, ms, detail };
  await world.note({ e: 'fault', ...event, excuses: fault.excuses(ms, detail) });
  const done = watch.faultBegins(event, fault.scope);
  await fault.inject(victim, ms, detail).finally(done);
  await sleep(300);
  await world.note({ e: 'healed', i: victim.name, id });
  await sleep(QUIET_MS - 300 + WATCHED_MS);
  const after = await world.leaders();
  if (!isDeepStrictEqual(after, before)) changes++;
  for (const problem of world.problems.splice(0)) {
    failed.push(problem);
    console.log(`VIOLATION: ${JSON.stringify(event)}: ${problem}`);
  }
}
await watch.stop();
await world.order('orders', 'stop');
await untilProcessed(world, 120_000);
const result = await verdict(world);
failed.push(...world.problems, ...result.problems);
for (const problem of [...world.problems, ...result.problems]) console.log(`VIOLATION: ${problem}`);
await world.close();
const checked = Object.entries(watch.checks).map(([promise, n]) => `${promise} ${n}`);
console.log(`checked: ${checked.join(', ')}`);
console.log(
  `${cases.length} cases (${values.faults}; ${values.lengths}) on ${values.instances} instances, ` +
    `${changes} with another leader, ${result.messages} messages, ${result.failed} failed, ` +
    `${result.excused} handled again with an excuse, violations ${failed.length}`,
);
if (failed.length === 0) rmSync(world.logs, { recursive: true });
else console.log(`the logs are in ${world.logs}`);
process.exit(failed.length === 0 ? 0 : 1);

function casesOf(fault) {
  const lengths = fault.length ? values.lengths.split(',').flatMap(range) : [undefined];
  const victims = fault.scope === 'instance' ? world.instances : [{ name: 'redis' }];
  const details = /Role$/.test(fault.kind)
    ? ROLES.map((role) => ({ role, direction: 'both' }))
    : [fault.detail?.(random)];
  return lengths.flatMap((ms) =>
    victims.flatMap((victim) => details.map((detail) => ({ fault, victim, ms, detail }))),
  );
}

/** Parses `from:to:step` or a single number. */
function range(text) {
  const [from, to = from, step = 1] = text.split(':').map(Number);
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
}
