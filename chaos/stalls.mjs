// Stalls the connections of one role, as a lost NAT entry does: bytes vanish, and new connections work. The longest time
// without a commit, a handled message or an error record must be at most LEASE_TTL_MS + 3 s, and nothing is handled twice.
//
//   node chaos/stalls.mjs [--roles subscriber,commit,...] [--directions requests,responses] [--groups 1,2,3]
//                         [--victims all,generator,keeper] [--seconds 40] [--pace 300]
//
// All roles run concurrently, each in its own group. Exits with code 1 on any violation, and then keeps the logs.
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { killOnExit } from '../testkit/children.cjs';
import { ROLES } from '../testkit/connectionRoles.cjs';
import { untilProcessed, verdict } from './verdict.mjs';
import { answerOf, LEASE_TTL_MS, openWorld } from './world.mjs';

const MAX_GAP_MS = LEASE_TTL_MS + 3000;
const POLL_INTERVAL_MS = 40;
/** How long to watch before and after a stall, in milliseconds: delayed effects appear afterwards. */
const AROUND_MS = 6000;

const { values } = parseArgs({
  options: {
    roles: { type: 'string', default: ROLES.join() },
    directions: { type: 'string', default: 'requests,responses' },
    groups: { type: 'string', default: '1,2,3' },
    victims: { type: 'string', default: 'all,generator,keeper' },
    seconds: { type: 'string', default: '40' },
    pace: { type: 'string', default: '300' },
  },
});
killOnExit();
const roles = values.roles.split(',');
let violations = 0;
console.log('role         direction   instances  victims     commit  handled   record   twice');
for (const count of values.groups.split(',').map(Number)) {
  // With one instance, every victim is the same.
  for (const victims of count === 1 ? ['all'] : values.victims.split(',')) {
    for (const direction of values.directions.split(',')) {
      // One after another, since many programs that start at once start slowly.
      const worlds = [];
      for (const role of roles) worlds.push({ role, world: await openGroup(count) });
      const rows = await Promise.all(worlds.map((each) => tryStall({ ...each, direction, count, victims })));
      for (const row of rows) report(row);
    }
  }
}
console.log(`violations ${violations}`);
process.exit(violations === 0 ? 0 : 1);

async function openGroup(count) {
  const world = await openWorld('single', { env: { PACE_MS: values.pace } });
  await Promise.all(Array.from({ length: count }, () => world.add()));
  await world.generating();
  return world;
}

async function tryStall({ role, direction, count, victims, world }) {
  // The keeper moves away from the generator.
  await sleep(AROUND_MS);
  const { generators, keeper } = await world.leaders();
  const leader = victims === 'generator' ? generators[0] : keeper;
  const struck = world.instances.filter(({ name }) => victims === 'all' || name === leader);
  const gaps = watchGaps(world);
  for (const { name } of struck)
    await world.note({ e: 'fault', id: name, i: name, kind: 'stall', excuses: false });
  for (const { proxy } of struck) proxy.blackhole(direction, role);
  await sleep(Number(values.seconds) * 1000);
  for (const { proxy } of struck) proxy.heal();
  await sleep(AROUND_MS);
  const longest = await gaps.stop();
  for (const { name } of struck) await world.note({ e: 'healed', i: name, id: name });
  await world.order('orders', 'stop');
  await untilProcessed(world, 120_000);
  const result = await verdict(world);
  world.problems.push(...result.problems);
  await world.close();
  return { role, direction, count, victims, longest, twice: result.excused, world };
}

/** Measures the longest time without a change of each number. */
function watchGaps(world) {
  const longest = { commit: 0, handled: 0, record: 0 };
  const since = {};
  const last = {};
  let stopped = false;
  const running = (async () => {
    while (!stopped) {
      await sleep(POLL_INTERVAL_MS);
      const { client } = world;
      const answer = await answerOf(
        Promise.all([
          client.hget('{nic}:cursor', 'generated'),
          client.zcard('{nic}:messages:completed'),
          client.zcard('{nic}:messages:failed'),
          client.hlen('{nic}:errors'),
        ]),
      );
      if (answer === undefined) continue;
      const [generated, completed, failed, recorded] = answer.map(Number);
      const now = performance.now();
      const numbers = { commit: generated, handled: completed + failed, record: recorded };
      for (const [name, value] of Object.entries(numbers)) {
        longest[name] = Math.max(longest[name], now - (since[name] ?? now));
        if (value !== last[name]) [last[name], since[name]] = [value, now];
      }
    }
  })();
  return {
    async stop() {
      stopped = true;
      await running;
      return longest;
    },
  };
}

function report({ role, direction, count, victims, longest, twice, world }) {
  const problems = [...world.problems];
  for (const [what, ms] of Object.entries(longest))
    if (ms > MAX_GAP_MS) problems.push(`${Math.round(ms)} ms without a ${what}`);
  const numbers = Object.values(longest).map((ms) => String(Math.round(ms)).padStart(7));
  console.log(
    `${role.padEnd(12)} ${direction.padEnd(11)} ${String(count).padStart(9)}  ${victims.padEnd(10)} ${numbers.join('  ')}  ${String(twice).padStart(6)}`,
  );
  for (const problem of problems) console.log(`VIOLATION: ${problem} (${world.logs})`);
  violations += problems.length;
  if (problems.length === 0) rmSync(world.logs, { recursive: true });
}
