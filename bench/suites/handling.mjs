// How fast waiting messages are handled by an empty handler.
import { HANDLERS } from '../contenders/contenders.mjs';
import { figure, interleave, table } from '../reporting/figures.mjs';
import { measure } from '../measuring/measure.mjs';

export async function handling({ server, rounds, quick, contenders, scale, progress }) {
  const wanted =
    contenders ?? HANDLERS.map(({ name }) => name).filter((name) => !quick || name !== 'withBoard');
  const handlers = HANDLERS.filter(({ name }) => name === 'bullmq' || wanted.includes(name));
  const tables = [];
  for (const concurrency of [1, 50]) {
    const count = Math.ceil((concurrency === 1 ? 20_000 : 40_000) * scale);
    const warmUp = Math.ceil(count / 4);
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
