// The trace of a run: what the instances say of their terms and commits, which must be a trace of the model.
import { checkTrace, parseLog } from '../model/checkTrace.mjs';

/** Cheap: most lines are about messages. */
const OF_PROTOCOL = /"message":"(?:elected|stepped down|generating|committed)/;

export function openTrace() {
  const lines = [];
  return {
    /** The lines of each instance in its order. */
    lines,
    add(line) {
      if (OF_PROTOCOL.test(line)) lines.push(line);
    },
    /** @returns {Promise<{ events: number, problems: string[] }>} what the model cannot make */
    async check(client, lossless) {
      const [terms, generated] = await Promise.all([
        client.lrange('{nic}:terms', 0, -1),
        client.hget('{nic}:cursor', 'generated'),
      ]);
      const stored = {
        terms: terms.map((json) => JSON.parse(json)),
        cursor: { generated: Number(generated ?? 0) },
      };
      const problems = checkTrace(parseLog(lines.join('\n')), stored, { lossless });
      return {
        events: lines.length,
        problems: problems.map((problem) => `no trace of the model: ${problem}`),
      };
    },
  };
}
