// What was promised of speed, and whether it is kept. Ratios hold within one run on one machine; milliseconds and
// megabytes are those of the machine at hand.

/** `part`: of the figure, its `ratio` to BullMQ alone or its `value`. The median counts. */
const TARGETS = [
  ...[1, 50].flatMap((concurrency) => [
    ratio(
      `follower handles, concurrency ${concurrency}, of BullMQ alone`,
      `handling.${concurrency}.follower`,
      0.97,
    ),
    ratio(
      `leader handles, concurrency ${concurrency}, of BullMQ alone`,
      `handling.${concurrency}.leader`,
      0.9,
    ),
  ]),
  ratio('generator, one message at a time, of queue.add', 'generating.1.generator', 0.6),
  ratio('generator, batches of 500, of addBulk', 'generating.500.generator', 0.95),
  ratio('generator, batches of 1000, of addBulk', 'generating.1000.generator', 0.95),
];

function ratio(what, id, least) {
  return { what, id, part: 'ratio', least, unit: '' };
}

/** Each target with what was measured; those of what was left out have neither. */
export function judge(tables) {
  const figures = new Map(tables.flatMap((each) => each.figures).map((each) => [each.id, each]));
  return TARGETS.map(({ what, id, part, least, most, unit }) => {
    const found = figures.get(id);
    const measured = part === 'ratio' ? found?.ratio?.median : found?.median;
    const met =
      measured === undefined ? undefined : least !== undefined ? measured >= least : measured <= most;
    return { what, id, unit, ...(least !== undefined ? { least } : { most }), measured, met };
  });
}
