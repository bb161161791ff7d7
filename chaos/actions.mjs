// What operators do to a running group. An action takes its turn among the faults. Generation can be interrupted while
// it lasts, but it excuses nothing else, and the verdict accounts for it exactly.
//
// rewind    moves the cursor back, or a little ahead, as `cursor set` does; the ledger says from where to where
// pauseAll  pauses all generating and resumes it; in between nothing may be committed
// pauseOne  pauses a named source and resumes it; in between nothing of it may be committed, and the others continue
// handOver  asks the generator of a source to hand over
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf } from './world.mjs';

const require = createRequire(import.meta.url);
const { announce } = require('../dist/membership/announcements.js');
const { readPositions, setCursor } = require('../dist/operating/cursor.js');

const WHO = `chaos@${hostname()}`;
let moves = 0;

const generatorOf = ({ name }) => (name === undefined ? 'generator' : `generator:${name}`);

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
    ...(world.sources[0].name === undefined
      ? []
      : [
          {
            ...common,
            kind: 'pauseOne',
            weight: 2,
            length: [300, 2000],
            inject: (_, ms) => pause(world, ms, random.oneOf(world.sources)),
          },
        ]),
    {
      ...common,
      kind: 'handOver',
      weight: 2,
      async inject() {
        const role = generatorOf(random.oneOf(world.sources));
        await answerOf(announce(world.client, world.keys, { event: 'handover', who: WHO, role }));
        await sleep(300);
      },
    },
  ];
}

/** If the answer is lost, the move might still have succeeded; the history of positions shows it by a unique name. */
async function rewind(world, random) {
  const { client, keys } = world;
  const source = random.oneOf(world.sources);
  const by = `${WHO}:${++moves}`;
  const now = Number(JSON.parse((await client.hget(source.keys.cursor, 'cursor')) ?? '0'));
  const to = Math.max(0, now + Math.round(random.between(-400, 20)));
  const move = { source: source.name, cursorJson: String(to), by };
  const answer = await answerOf(setCursor({ client, keys }, move), 2000);
  const from = answer?.moved ? answer.from : await fromHistory(client, source, by);
  if (from !== null) await world.note({ e: 'move', source: source.name, from: Number(from ?? 0), to });
}

async function fromHistory(client, source, who) {
  for (;;) {
    const positions = await answerOf(readPositions(client, source.keys));
    if (positions === undefined) await sleep(100);
    else {
      const entry = positions.find((each) => each.who === who);
      return entry === undefined ? null : entry.from;
    }
  }
}

/** @param source undefined: all sources */
async function pause(world, ms, source) {
  const { keys } = world;
  const field = source === undefined ? 'generating' : `generating:${source.name}`;
  const role = source === undefined ? '*' : generatorOf(source);
  const set = world.client.hset(keys.paused, field, JSON.stringify({ by: WHO }));
  if ((await answerOf(set)) === undefined) return;
  await announce(world.client, keys, { event: 'pause', who: WHO, role });
  const before = await world.committed();
  await sleep(ms);
  const after = await world.committed();
  world.sources.forEach((each, index) => {
    const count = after[index].generated - before[index].generated;
    if (count > 0 && (source === undefined || source === each))
      world.violation(`${count} messages were committed while ${field} was paused`);
  });
  while ((await answerOf(world.client.hdel(keys.paused, field))) === undefined) await sleep(100);
  await announce(world.client, keys, { event: 'pause', who: WHO, role });
}
