// Parses the command line.
import { parseArgs } from 'node:util';

/** Ends the process with exit code 2 if the command line is invalid. */
export function options(args, sections) {
  try {
    return read(args, sections);
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(2);
  }
}

function read(args, sections) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: sections.join(',') },
      contenders: { type: 'string' },
      rounds: { type: 'string' },
      messages: { type: 'string' },
      json: { type: 'string' },
      markdown: { type: 'string' },
    },
  });
  const { quick, json, markdown } = values;
  const only = values.only.split(',');
  const unknown = only.filter((name) => !sections.includes(name));
  if (unknown.length > 0)
    throw new Error(`--only names ${unknown.join(', ')}, expected some of ${sections.join(',')}`);
  const whole = (name, fallback) => {
    const number = Number(values[name] ?? fallback);
    if (Number.isInteger(number) && number > 0) return number;
    throw new Error(`--${name} is ${values[name]}, expected a whole number from 1`);
  };
  const usual = quick ? 5000 : 1_000_000;
  const messages = whole('messages', usual);
  // A smaller million also makes everything else smaller.
  const share = Math.min(1, messages / usual);
  return {
    quick,
    only,
    rounds: whole('rounds', quick ? 1 : 5),
    messages,
    /** The contenders that handle messages; undefined for all. BullMQ alone is always included for comparison. */
    contenders: values.contenders?.split(','),
    /** The share of the full number of messages and error records that a measurement uses. */
    scale: (quick ? 0.05 : 1) * share,
    json,
    markdown,
  };
}
