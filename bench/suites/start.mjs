// How long a new instance takes to handle its first message.
import { resolve } from 'node:path';
import { openGroup } from '../measuring/group.mjs';
import { bullmq } from '../contenders/contenders.mjs';
import { figure, interleave, table } from '../reporting/figures.mjs';

const TASK = resolve(import.meta.dirname, '../tasks/instrumentedTask.mjs');
const IDLE = resolve(import.meta.dirname, '../tasks/idleTask.mjs');
/** Only the first message counts. */
const ENDLESS = { warmUp: 1e12, count: 1 };

const CASES = [
  { name: 'alone', label: 'the first instance, which generates it itself', board: 'on' },
  { name: 'alone.boardless', label: 'the same, BOARD=off', board: 'off' },
  { name: 'follower', label: 'a further one, for which it waits', board: 'on', waits: true },
];

export async function start({ server, rounds, quick, progress }) {
  const of = await interleave(
    quick ? rounds : 2 * rounds,
    CASES,
    (one) => startOne(server, one),
    (text) => progress.say(`start: ${text}`),
  );
  const figures = CASES.map(({ name, label }) => figure(`start.${name}`, label, 'ms', of(name, 'ms')));
  const about = 'From the start of `node dist/main.js` to the first message in the hands of the handler.';
  return [table('Start', about, figures)];
}

async function startOne(server, { board, waits = false }) {
  await server.clear();
  const group = openGroup(server.client, { REDISURL: server.url });
  if (waits) {
    group.start({ TASK: IDLE, GENERATOR_HANDLES: 'false' });
    await group.leading();
    await bullmq.fill(server, { count: 100, bytes: 100 });
  }
  const what = { handle: ENDLESS, ...(!waits && { generate: { ...ENDLESS, batch: 1, bytes: 100 } }) };
  try {
    return await new Promise((resolve, reject) => {
      const startedAt = performance.now();
      const onMessage = ({ event, role }) =>
        event === 'first' && role === 'handle' && resolve({ ms: performance.now() - startedAt });
      const env = { TASK, BENCH: JSON.stringify(what), BOARD: board, BOARD_PORT: '0' };
      const instance = group.start(env, { onMessage });
      void instance.exited.then((code) => reject(new Error(`the instance ended by itself (${code})`)));
    });
  } finally {
    await group.killAll();
  }
}
