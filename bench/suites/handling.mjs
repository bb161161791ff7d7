// How fast waiting messages are handled by an empty handler.
import { HANDLERS } from '../contenders/contenders.mjs';
import { figure, interleave, table } from '../reporting/figures.mjs';
import { measure } from '../measuring/measure.mjs';

/**
 * How many messages are handled to warm up, and then measured: some seconds of each. By the end of the warm-up an
 * instance has done what it does once: elections, the move of the keeper away from the generator, loading the board.
 */
const COUNTS = { 1: { warmUp: 20_000, count: 20_000 }, 50: { warmUp: 100_000, count: 60_000 } };

export async function handling({ server, rounds, quick, contenders, scale, progress }) {
  const wanted =
    contenders ?? HANDLERS.map(({ name }) => name).filter((name) => !quick || name !== 'withBoard');
  const handlers = HANDLERS.filter(({ name }) => name === 'bullmq' || wanted.includes(name));
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
  }
  return tables;
}
