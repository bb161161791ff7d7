// The trace of a run: the log lines of all instances about terms and commits must be a trace of the model.
import { checkTrace, parseLog } from '../model/checkTrace.mjs';

/** A cheap filter, since most lines are about messages. */
const OF_PROTOCOL = /"message":"(?:elected|stepped down|generating|committed)/;

export function openTrace() {
  const lines = [];
  return {
    /** The lines of each instance in order. */
    lines,
    add(line) {
      if (OF_PROTOCOL.test(line)) lines.push(line);
    },
    /** @returns {Promise<{ events: number, problems: string[] }>} steps that the model does not allow */
    async check({ client, sources }, lossless) {
      const parsed = parseLog(lines.join('\n'));
      const problems = [];
      for (const { name, keys } of sources) {
        const [terms, generated] = await Promise.all([
          client.lrange(keys.terms, 0, -1),
          client.hget(keys.cursor, 'generated'),
        ]);
        const stored = {
          terms: terms.map((json) => JSON.parse(json)),
          cursor: { generated: Number(generated ?? 0) },
        };
        for (const problem of checkTrace(parsed, stored, { source: name, lossless }))
          problems.push(`${name ?? 'generator'}: no trace of the model: ${problem}`);
      }
      return { events: lines.length, problems };
    },
  };
}
