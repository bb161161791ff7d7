// Random draws that are reproducible from a seed.

export function seededRandom(seed) {
  let state = seed;
  /** Returns a number from 0 to 1, excluding 1 (mulberry32). */
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    chance: (probability) => random() < probability,
    between: (least, most) => least + random() * (most - least),
    whole: (least, most) => least + Math.floor(random() * (most - least + 1)),
    oneOf: (list) => list[Math.floor(random() * list.length)],
    /** Log-uniform: 0.2 to 0.4 is as likely as 5 to 10. */
    length: (least, most) => Math.round(least * (most / least) ** random()),
    /** Returns one of the values, in proportion to their weights. */
    weighted(list) {
      let left = random() * list.reduce((sum, { weight }) => sum + weight, 0);
      return list.find(({ weight }) => (left -= weight) < 0) ?? list.at(-1);
    },
  };
}
