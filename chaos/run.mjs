// Fault injection: real instances and real faults; every promise is checked during the run and at the end.
//
//   npm run chaos -- [--minutes 1] [--seed 12345] [--instances 4] [--sources 0] [--pace 25]
//                    [--redis single|sentinel|cluster|network] [--faults kill,pause,...] [--actions rewind,...|none] [--times 100]
//
// A single Redis loses nothing that it has acknowledged; connections fail too. Behind Sentinels and in a Cluster
// the master itself dies, is paused or hands over, and writes that its replica lacks are lost: the verdict is then
// whether the remaining data is consistent and was handled completely. With `network` each instance has a network
// namespace of its own, which requires root and `ip`.
//
// Exits with code 1 on any violation, and then keeps the logs. The same seed gives the same sequence of faults;
// the state that they strike differs from run to run.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { killOnExit } from '../testkit/children.cjs';
import { summary } from '../testkit/statistics.cjs';
import { faultsFor } from './faults/faults.mjs';
import { networkUnavailable } from './network.mjs';
import { readOptions } from './options.mjs';
import { seededRandom } from './random.mjs';
import { runSchedule } from './schedule.mjs';
import { untilProcessed, verdict } from './verdict.mjs';
import { startWatch } from './watch.mjs';
import { openWorld } from './world.mjs';

const { minutes, seed, count, redis, sources, pace, times, ...wanted } = readOptions(process.argv.slice(2));
const unavailable = redis === 'network' ? networkUnavailable() : undefined;
if (unavailable !== undefined) {
  console.log(`chaos: skipped, ${unavailable}`);
  process.exit(0);
}
killOnExit();
const world = await openWorld(redis, { env: { PACE_MS: String(pace) }, sources });
const faults = chosenFaults();
await Promise.all(Array.from({ length: count }, () => world.add()));
await world.generating();
console.log(
  `chaos: ${redis}, seed ${seed}, ${minutes} minutes, ${count} instances, ${sources} named sources, logs in ${world.logs}`,
);

const watch = startWatch(world);
const endsAt = performance.now() + minutes * 60_000;
const { counts, gaps } = await runSchedule(world, watch, faults, { endsAt, times, draw: seededRandom(seed) });
await watch.stop();

console.log('chaos: no more faults; waiting for the queue to run empty');
await world.order('orders', 'stop');
await untilProcessed(world);
const result = await verdict(world);
// Only a single Redis keeps everything that it has acknowledged; otherwise a term can be taken twice.
const trace = await world.trace.check(world, ['single', 'network'].includes(redis));
world.problems.push(...result.problems, ...trace.problems);
const events = await world.ledger.lrange('events', 0, -1);
await world.close();
report();
process.exit(world.problems.length === 0 ? 0 : 1);

function chosenFaults() {
  try {
    // A separate sequence, since the number of draws of a fault depends on the machine.
    return faultsFor(world, seededRandom(seed + 1), wanted);
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(2);
  }
}

function report() {
  const sum = (numbers) => Object.values(numbers).reduce((total, n) => total + n, 0);
  console.log(
    '\nfault            times   without a commit, where it struck the generator or Redis (p50 / p99 / max ms)',
  );
  for (const { kind } of faults) {
    console.log(`${kind.padEnd(16)} ${String(counts[kind] ?? 0).padStart(5)}   ${summary(gaps[kind] ?? [])}`);
  }
  const checked = Object.entries(watch.checks).map(([promise, n]) => `${promise} ${n}`);
  console.log(`\nchecked while it ran, in quiet: ${checked.join(', ') || 'nothing'}`);
  console.log(`${sum(counts)} faults, ${result.messages} messages, ${result.failed} failed as they should`);
  console.log(`${trace.events} events of the protocol, ${trace.problems.length} that the model cannot make`);
  console.log(`${result.excused} handled again because of a fault that can cost a message its lock`);
  if (world.problems.length === 0) {
    console.log('lost 0, doubled 0, violations 0');
    rmSync(world.logs, { recursive: true });
    return;
  }
  for (const problem of world.problems) console.log(`VIOLATION: ${problem}`);
  writeFileSync(join(world.logs, 'ledger.jsonl'), events.join('\n'));
  writeFileSync(join(world.logs, 'trace.jsonl'), world.trace.lines.join('\n'));
  console.log(`seed ${seed}; the logs are in ${world.logs}`);
}
