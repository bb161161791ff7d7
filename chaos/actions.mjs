// What operators do to a running group. An action takes its turn among the faults. Generation can be interrupted while
// it lasts, but it excuses nothing else, and the verdict accounts for it exactly.
//
// rewind    moves the cursor back, or a little ahead, as `cursor set` does; the ledger says from where to where
// pauseAll  pauses generating and resumes it; in between nothing may be committed
// handOver  asks the generator to hand over
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf } from './world.mjs';

const require = createRequire(import.meta.url);
const { keysOf } = require('../dist/keys.js');
const { announce } = require('../dist/membership/announcements.js');
const { readPositions, setCursor } = require('../dist/operating/cursor.js');

const keys = keysOf('nic');
const WHO = `chaos@${hostname()}`;
let moves = 0;

export function actions(world, random) {
  const common = { scope: 'task', excuses: () => false };
  return [
    // Behind Sentinels, a failover can lose the move itself.
    {
      ...common,
      kind: 'rewind',
      weight: 3,
      modes: ['single', 'network'],
      inject: () => rewind(world, random),
    },
    { ...common, kind: 'pauseAll', weight: 2, length: [300, 2000], inject: (_, ms) => pause(world, ms) },
    {
      ...common,
      kind: 'handOver',
      weight: 2,
      async inject() {
        await answerOf(announce(world.client, keys, { event: 'handover', who: WHO, role: 'generator' }));
        await sleep(300);
      },
    },
  ];
}

/** If the answer is lost, the move might still have succeeded; the history of positions shows it by a unique name. */
async function rewind(world, random) {
  const by = `${WHO}:${++moves}`;
  const now = Number(JSON.parse((await world.client.hget(keys.cursor, 'cursor')) ?? '0'));
  const to = Math.max(0, now + Math.round(random.between(-400, 20)));
  const answer = await answerOf(
    setCursor({ client: world.client, keys }, { cursorJson: String(to), by }),
    2000,
  );
  const from = answer?.moved ? answer.from : await fromHistory(world, by);
  if (from !== null) await world.note({ e: 'move', from: Number(from ?? 0), to });
}

async function fromHistory(world, who) {
  for (;;) {
    const positions = await answerOf(readPositions(world.client, keys.source()));
    if (positions === undefined) await sleep(100);
    else {
      const entry = positions.find((each) => each.who === who);
      return entry === undefined ? null : entry.from;
    }
  }
}

async function pause(world, ms) {
  const { client } = world;
  if ((await answerOf(client.hset(keys.paused, 'generating', JSON.stringify({ by: WHO })))) === undefined)
    return;
  await announce(client, keys, { event: 'pause', who: WHO, role: '*' });
  const before = await world.committed();
  await sleep(ms);
  const after = await world.committed();
  if (after.generated > before.generated)
    world.violation(
      `${after.generated - before.generated} messages were committed while generating was paused`,
    );
  while ((await answerOf(world.client.hdel(keys.paused, 'generating'))) === undefined) await sleep(100);
  await announce(world.client, keys, { event: 'pause', who: WHO, role: '*' });
}
