// What was measured: tables of figures, each with the values of all rounds.
import { median } from '../../testkit/statistics.cjs';

/**
 * @param id by which the targets find it
 * @param against the values of the same rounds that these are a ratio of
 * @param also further columns: heading to a value, or to those of all rounds, of which the median is shown
 */
export function figure(id, label, unit, values, { against, also = {} } = {}) {
  return {
    id,
    label,
    unit,
    values,
    ...spread(values),
    // Round by round: what slows down a whole round slows down both.
    ...(against && { ratio: spread(values.map((value, round) => value / against[round])) }),
    also: Object.fromEntries(Object.entries(also).map(([heading, each]) => [heading, median([each].flat())])),
  };
}

function spread(values) {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** A heading, what was done, and its figures. */
export const table = (title, about, figures) => ({ title, about, figures });

/**
 * Runs each contender once a round, one after the other, so that noise hits all alike.
 *
 * @returns what gives the values of one field of one contender's results, one for each round
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
