// Turns the stored samples (total counts, some seconds apart) into the rates and states that the chart shows.

const AT = 0;
const FIGURES = { waiting: 1, active: 2, delayed: 3, completed: 4, failed: 5, generated: 6 };
/** Possible lengths of the chart's window, in minutes. The shortest that fits the samples is used. */
const SPANS = [2, 5, 10, 15];

/** Splits the samples, with the current state as the last one, into runs without gaps. */
export function runsOf({ history: { samples, stepMs }, messages }, now) {
  const { waiting, active, delayed, completed, everFailed, generated } = messages;
  const all = [...samples, [now, waiting, active, delayed, completed, everFailed, generated]];
  const runs = [];
  let run;
  for (const sample of all) {
    const before = run?.at(-1);
    if (before === undefined || sample[AT] - before[AT] > 2.5 * stepMs) runs.push((run = []));
    run.push(sample);
  }
  return runs;
}

/** The length of the chart's window in milliseconds. An outage that is longer than everything after it is omitted. */
export function spanMsOf(runs, now) {
  let first = runs.length - 1;
  while (first > 0) {
    const [start, end] = [runs[first - 1].at(-1)[AT], runs[first][0][AT]];
    if (end - start > Math.max(60_000, now - end)) break;
    first--;
  }
  const minutes = (now - runs[first][0][AT]) / 60_000;
  return (SPANS.find((span) => minutes <= span) ?? SPANS.at(-1)) * 60_000;
}

/** The points of one run: the time, the count of each state, and the rates per second. */
export function pointsOf(run, stepMs) {
  const points = run.map((sample, index) => {
    // Over a shorter time, the rate would fluctuate.
    let from = index - 1;
    while (from > 0 && sample[AT] - run[from][AT] < 0.6 * stepMs) from--;
    const earlier = run[from];
    const seconds = earlier === undefined ? 0 : (sample[AT] - earlier[AT]) / 1000;
    const rateOf = (figure) =>
      seconds < 0.5 ? undefined : Math.max(0, sample[FIGURES[figure]] - earlier[FIGURES[figure]]) / seconds;
    return {
      at: sample[AT],
      ...{ waiting: sample[1], active: sample[2], delayed: sample[3] },
      ...{ completed: rateOf('completed'), failed: rateOf('failed'), generated: rateOf('generated') },
    };
  });
  // The first point of a run has no predecessor: it takes the rates of the second.
  const [first, second] = points;
  if (second !== undefined) {
    for (const figure of ['completed', 'failed', 'generated']) first[figure] ??= second[figure];
  }
  return points;
}

/** One row for each clock minute from `from` on, newest first: what happened in it, and the state at its end. */
export function minutesOf(runs, from) {
  const minutes = new Map();
  for (const run of runs) {
    run.forEach((sample, index) => {
      const minute = Math.floor(sample[AT] / 60_000) * 60_000;
      const row = minutes.get(minute) ?? { minute, generated: 0, completed: 0, failed: 0 };
      minutes.set(minute, row);
      [row.waiting, row.active, row.delayed] = sample.slice(1, 4);
      if (index === 0) return;
      for (const figure of ['generated', 'completed', 'failed']) {
        row[figure] += Math.max(0, sample[FIGURES[figure]] - run[index - 1][FIGURES[figure]]);
      }
    });
  }
  return [...minutes.values()].filter(({ minute }) => minute + 60_000 > from).reverse();
}
