// How fast waiting messages are handled by an empty handler.
import { HANDLERS } from '../contenders/contenders.mjs';
import { figure, interleave, table } from '../reporting/figures.mjs';
import { measure } from '../measuring/measure.mjs';
import { installPeers } from '../peers/install.mjs';

/** Those whose messages are handled by BullMQ's scripts. */
const BULLMQ = ['leader', 'leaderOfTwo', 'follower', 'bullmq', 'bullmqTuned'];

/** Those of the targets. */
const QUICK = ['leaderOfTwo', 'follower'];

/**
 * How many messages are handled to warm up, and then measured: some seconds of each. By the end of the warm-up an
 * instance has done what it does once: elections, the move of the keeper away from the generator, loading the board.
 */
const COUNTS = { 1: { warmUp: 20_000, count: 20_000 }, 50: { warmUp: 100_000, count: 60_000 } };

export async function handling({ server, rounds, quick, contenders, scale, progress }) {
  const wanted = contenders ?? (quick ? QUICK : HANDLERS.map(({ name }) => name));
  const handlers = HANDLERS.filter(({ name }) => name === 'bullmq' || wanted.includes(name));
  if (handlers.some(({ isPeer }) => isPeer)) installPeers();
  const tables = [];
  for (const concurrency of [1, 50]) {
    const count = Math.ceil(COUNTS[concurrency].count * scale);
    const warmUp = Math.ceil(COUNTS[concurrency].warmUp * scale);
    const of = await interleave(
      rounds,
      handlers,
      (contender) => measure(server, contender, 'handle', { concurrency, count, warmUp, bytes: 100 }),
      (text) => progress.say(`handling at concurrency ${concurrency}: ${text}`),
    );
    const figures = handlers.map(({ name, label }) =>
      figure(`handling.${concurrency}.${name}`, label, 'messages/s', of(name, 'rate'), {
        against: of('bullmq', 'rate'),
        also: { 'CPU µs': of(name, 'cpuUs'), 'Redis CPU µs': of(name, 'redisUs') },
      }),
    );
    const about =
      `${count} messages of 100 bytes that wait already, after ${warmUp} to warm up; one process, whose handler does ` +
      `nothing. Processor time is that of one message, of the process and of Redis.`;
    tables.push(table(`Handling at concurrency ${concurrency}`, about, figures));
    if (concurrency > 1) tables.push(profile(concurrency, handlers, of));
  }
  return tables;
}

/** Where Redis's time goes: what an instance adds is its retention of completed messages, and the keeper's listener. */
function profile(concurrency, handlers, of) {
  const compared = handlers.filter(({ name }) => BULLMQ.includes(name));
  const figures = compared.map(({ name, label }) => {
    const time = (...commands) => of(name, 'commandUs').map((commandUs) => commandUs(...commands));
    return figure(`profile.${concurrency}.${name}`, label, 'µs', time('evalsha', 'eval'), {
      also: {
        "the keeper's scripts": time('eval'),
        DEL: time('del'),
        HMGET: time('hmget'),
        'ZREVRANGE, ZREMRANGEBYRANK': time('zrevrange', 'zremrangebyrank'),
      },
    });
  });
  const about =
    "Redis's own count (INFO commandstats) of the time spent in scripts, for one message of the table above, and what it is " +
    'spent on. The last three columns are where retention (KEEP_COMPLETED) shows.';
  return table(`What Redis does for one message at concurrency ${concurrency}`, about, figures);
}
