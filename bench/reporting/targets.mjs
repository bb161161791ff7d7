// The performance targets, and whether they are met. Ratios compare within one run on one machine; milliseconds and
// megabytes depend on the machine.

const TARGETS = [
  ...[1, 50].flatMap((concurrency) => [
    ratio(
      `a follower handles, concurrency ${concurrency}, of BullMQ alone`,
      `handling.${concurrency}.follower`,
      0.97,
    ),
    ratio(
      `the leader handles, concurrency ${concurrency}, of BullMQ alone`,
      `handling.${concurrency}.leader`,
      0.9,
    ),
  ]),
  ratio('generating one by one, of `queue.add`', 'generating.1.generator', 0.6),
  ratio('generating in batches of 500, of `addBulk`', 'generating.500.generator', 0.95),
  ratio('generating in batches of 1000, of `addBulk`', 'generating.1000.generator', 0.95),
  ratio('the million, of BullMQ alone', 'million.instances', 0.95),
  most('start to the first message handled', 'start.alone', 500, 'ms'),
  most('`getErrors` on none', 'commands.getErrors', 300, 'ms'),
  most('`--help`', 'commands.help', 300, 'ms'),
  most('`getErrors` on many: first line', 'commands.many.first', 300, 'ms'),
  most('`getErrors` on many: peak memory over that on none', 'commands.many.peak', 50, 'MB'),
  most('resident memory of an idle follower, BOARD=off', 'memory.follower', 80, 'MB'),
  most('resident memory of an idle leader with the board', 'memory.board', 80, 'MB'),
  most('heap growth of the generator over the million', 'million.instances.generator.growth', 5, 'MB'),
  most('heap growth of a follower over the million', 'million.instances.handler.growth', 5, 'MB'),
  most('failover after a crash', 'failover.crash', 300, 'ms'),
  most('hand-over', 'failover.stop', 50, 'ms'),
];

function ratio(what, id, least) {
  return { what, id, part: 'ratio', least, unit: '' };
}

function most(what, id, limit, unit) {
  return { what, id, part: 'value', most: limit, unit };
}

/** Returns each target with its measured median, or none if it was not measured. */
export function judge(tables) {
  const figures = new Map(tables.flatMap((each) => each.figures).map((each) => [each.id, each]));
  return TARGETS.map(({ part, ...target }) => {
    const found = figures.get(target.id);
    const measured = part === 'ratio' ? found?.ratio?.median : found?.median;
    if (measured === undefined) return target;
    const met = target.least !== undefined ? measured >= target.least : measured <= target.most;
    return { ...target, measured, met };
  });
}
