// The performance targets, and whether they are met. Ratios compare within one run on one machine; milliseconds and
// megabytes depend on the machine.

const TARGETS = [
  ratio('a follower handles, concurrency 1, of BullMQ alone', 'handling.1.follower', 0.97),
  ratio('the leader of two handles, concurrency 1, of BullMQ alone', 'handling.1.leaderOfTwo', 0.95),
  ratio('a follower handles, concurrency 50, of BullMQ alone', 'handling.50.follower', 0.95),
  ratio('the leader of two handles, concurrency 50, of BullMQ alone', 'handling.50.leaderOfTwo', 0.92),
  ratio('generating in batches of 10, of `addBulk`', 'generating.10.generator', 0.9),
  ratio('generating in batches of 500, of `addBulk`', 'generating.500.generator', 0.95),
  ratio('generating in batches of 1000, of `addBulk`', 'generating.1000.generator', 0.95),
  ratio('the million, of BullMQ alone', 'million.instances', 0.95),
  most('start to the first message handled', 'start.alone', 350, 'ms'),
  most('`getErrors` on none', 'commands.getErrors', 250, 'ms'),
  most('`status` on no errors', 'commands.status', 250, 'ms'),
  most('`--help`', 'commands.help', 60, 'ms'),
  most('`getErrors` on many: first line', 'commands.many.first', 300, 'ms'),
  most('`getErrors` on many: peak memory over that on none', 'commands.many.peak', 50, 'MB'),
  most('resident memory of an idle follower, BOARD=off', 'memory.follower', 60, 'MB'),
  most('resident memory of an idle leader with the board', 'memory.board', 80, 'MB'),
  most('processor time of an idle follower', 'rest.10.cpu', 0.6, '% of a core'),
  most('heap growth of the generator over the million', 'million.instances.generator.growth', 5, 'MB'),
  most('heap growth of a follower over the million', 'million.instances.handler.growth', 5, 'MB'),
  most('failover after a crash', 'failover.crash', 100, 'ms'),
  most('hand-over', 'failover.stop', 30, 'ms'),
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
