// How cost grows with the backlog and with the size of messages.
import { bullmq, follower, generator } from '../contenders/contenders.mjs';
import { figure, interleave, table } from '../reporting/figures.mjs';
import { measure, measureOn } from '../measuring/measure.mjs';

export async function growth(context) {
  return [await backlogs(context), await payloads(context)];
}

const ROLES = [
  { role: 'handle', label: 'handles', contenders: [follower, bullmq] },
  { role: 'generate', label: 'generates', contenders: [generator, bullmq] },
];
const TURNS = ROLES.flatMap(({ role, label, contenders }) =>
  contenders.map((contender) => {
    const name = `${role}.${contender === bullmq ? 'bullmq' : 'instance'}`;
    return { name, role, contender, label: `${contender === bullmq ? bullmq.label : 'instance'} ${label}` };
  }),
);

/** Messages are handled and generated in turns, equally many, so the backlog stays the same. */
async function backlogs({ server, rounds, quick, scale, progress }) {
  const figures = [];
  await server.clear();
  let waiting = 0;
  for (const backlog of quick ? [50_000] : [10_000, 100_000, 1_000_000]) {
    progress.say(`growth: filling up to ${backlog} messages`);
    await bullmq.fill(server, { from: waiting + 1, count: backlog - waiting, bytes: 100 });
    waiting = backlog;
    const settings = {
      // Both handle before either generates: together less than the smallest backlog, or the second would run out.
      count: Math.ceil(3000 * scale),
      warmUp: Math.ceil(750 * scale),
      batch: 100,
      bytes: 100,
    };
    const { used } = await server.memoryMb();
    const of = await interleave(
      Math.min(rounds, 3),
      TURNS,
      ({ contender, role }) => measureOn(server, contender, role, settings),
      (text) => progress.say(`growth, ${backlog} wait: ${text}`),
    );
    figures.push(
      ...rowsOf(`backlog.${backlog}`, `${backlog.toLocaleString('en-US')} wait`, of, { 'Redis MB': used }),
    );
  }
  const about =
    'Messages of 100 bytes, generated in batches of 100, handled at concurrency 1, while so many wait.';
  return table('The longer the backlog', about, figures);
}

async function payloads({ server, rounds, quick, scale, progress }) {
  const figures = [];
  for (const { bytes, name, count, batch } of [
    { bytes: 100, name: '100 B', count: 10_000, batch: 100 },
    { bytes: 10_000, name: '10 kB', count: 5000, batch: 100 },
    { bytes: 1_000_000, name: '1 MB', count: 200, batch: 10 },
  ].slice(...(quick ? [1, 2] : []))) {
    // Whole batches only.
    const some = (share) => Math.ceil((count * share) / batch) * batch;
    const settings = { bytes, batch, count: some(scale), warmUp: some(scale / 4) };
    const of = await interleave(
      Math.min(rounds, 3),
      TURNS,
      ({ contender, role }) => measure(server, contender, role, settings),
      (text) => progress.say(`growth, messages of ${name}: ${text}`),
    );
    figures.push(...rowsOf(`payload.${bytes}`, `${name}, batches of ${batch}`, of));
  }
  const about = 'Handled at concurrency 1, generated in the batches named.';
  return table('The larger the messages', about, figures);
}

function rowsOf(id, label, of, also) {
  return TURNS.map(({ name, role, label: who }) =>
    figure(`growth.${id}.${name}`, `${label}: ${who}`, 'messages/s', of(name, 'rate'), {
      against: of(`${role}.bullmq`, 'rate'),
      also: { 'CPU µs': of(name, 'cpuUs'), 'Redis CPU µs': of(name, 'redisUs'), ...also },
    }),
  );
}
