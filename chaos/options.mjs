// Parses the command line.
import { parseArgs } from 'node:util';

export const MODES = ['single', 'sentinel', 'cluster', 'network'];

/** Ends the process with exit code 2 if the command line is invalid. */
export function readOptions(args) {
  try {
    return read(args);
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(2);
  }
}

function read(args) {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      instances: { type: 'string', default: '4' },
      sources: { type: 'string', default: '0' },
      pace: { type: 'string' },
      redis: { type: 'string', default: 'single' },
      faults: { type: 'string' },
      actions: { type: 'string' },
      times: { type: 'string', default: 'Infinity' },
    },
  });
  const { redis, faults, actions } = values;
  const [minutes, seed, count, sources, times] = ['minutes', 'seed', 'instances', 'sources', 'times'].map(
    (name) => Number(values[name]),
  );
  if (!MODES.includes(redis)) throw new Error(`--redis is "${redis}", expected ${MODES.join(', ')}`);
  if (!(minutes > 0) || !Number.isInteger(seed) || !(count >= 1 && Number.isInteger(count)) || !(times > 0))
    throw new Error(
      'expected --minutes and --times above 0, --seed a whole number, --instances a whole number from 1',
    );
  if (!(sources >= 0 && sources <= 256 && Number.isInteger(sources)))
    throw new Error(`--sources is "${values.sources}", expected a whole number from 0 to 256`);
  // With more sources each of them generates less by default, so that the handlers keep up.
  const pace = Number(values.pace ?? 25 * Math.max(1, sources / 2));
  if (!(pace >= 0)) throw new Error(`--pace is "${values.pace}", expected milliseconds`);
  return {
    minutes,
    seed,
    count,
    redis,
    sources,
    pace,
    times,
    faults: listOf(faults),
    actions: listOf(actions),
  };
}

/** `none` is the empty list; undefined if omitted. */
function listOf(text) {
  return text === 'none' ? [] : text?.split(',');
}
