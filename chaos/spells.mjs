// Redis repeatedly refuses commands for some milliseconds under load: nothing is handled twice, no success is among the
// errors, and no failure stays unrecorded.
//
//   node chaos/spells.mjs [--kinds noReplicas,outOfMemory,...] [--spells 10000] [--instances 2] [--pace 25]
//
// Exits with code 1 on any violation, and then keeps the logs.
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { killOnExit } from '../testkit/children.cjs';
import { refusalsOf } from './faults/redis.mjs';
import { seededRandom } from './random.mjs';
import { untilProcessed, verdict } from './verdict.mjs';
import { openWorld } from './world.mjs';

const { values } = parseArgs({
  options: {
    kinds: {
      type: 'string',
      default: 'noReplicas,outOfMemory,saveFails,busyScript,maxClients,readOnly,password,noChannels',
    },
    spells: { type: 'string', default: '10000' },
    instances: { type: 'string', default: '2' },
    pace: { type: 'string', default: '25' },
  },
});
killOnExit();
let violations = 0;
await Promise.all(values.kinds.split(',').map(tryKind));
process.exit(violations === 0 ? 0 : 1);

async function tryKind(kind) {
  const world = await openWorld('single', { env: { PACE_MS: values.pace } });
  const refuse = refusalsOf(world)[kind];
  const random = seededRandom(1);
  await Promise.all(Array.from({ length: Number(values.instances) }, () => world.add()));
  await world.generating();
  const startedAt = performance.now();
  for (let spell = 0; spell < Number(values.spells); spell++) {
    const accept = await refuse();
    await sleep(random.between(0, 8));
    await accept();
    await sleep(random.between(5, 30));
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  await world.order('orders', 'stop');
  await untilProcessed(world, 120_000);
  const result = await verdict(world);
  const problems = [...world.problems, ...result.problems];
  await world.close();
  violations += problems.length;
  console.log(
    `${kind}: ${values.spells} spells in ${seconds} s, ${result.messages} messages, ${result.failed} failed as they ` +
      `should, violations ${problems.length}`,
  );
  for (const problem of problems) console.log(`VIOLATION: ${kind}: ${problem} (${world.logs})`);
  if (problems.length === 0) rmSync(world.logs, { recursive: true });
}
