// The results: tables of figures, each with the values of all rounds.
import { median } from '../../testkit/statistics.cjs';

/**
 * @param id the name that the targets use
 * @param against the values of the same rounds to compute the ratio against
 * @param also further columns: heading to a value, or to the values of all rounds, whose median is shown
 */
export function figure(id, label, unit, values, { against, also = {} } = {}) {
  return {
    id,
    label,
    unit,
    values,
    ...spread(values),
    // Round by round, since noise in a round slows down both.
    ...(against && { ratio: spread(values.map((value, round) => value / against[round])) }),
    also: Object.fromEntries(Object.entries(also).map(([heading, each]) => [heading, median([each].flat())])),
  };
}

function spread(values) {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** @param base the heading over ratios */
export const table = (title, about, figures, { base = 'of BullMQ alone' } = {}) => ({
  title,
  about,
  base,
  figures,
});

/**
 * Runs each contender once per round, one after another, so that noise affects all of them equally.
 *
 * @returns a function that returns the values of one field of a contender, one per round
 */
export async function interleave(rounds, contenders, measureOne, progress) {
  const results = new Map(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) {
      progress(`${contender.label}, round ${round + 1} of ${rounds}`);
      results.get(contender.name).push(await measureOne(contender, round));
    }
  }
  return (name, field) => results.get(name).map((result) => result[field]);
}
