// From what is stored, counts of all time at moments some seconds apart, to what is shown: rates and states.

const AT = 0;
const FIGURES = { waiting: 1, active: 2, delayed: 3, completed: 4, failed: 5, generated: 6 };
/** Minutes that the chart may show: as few as what there is fits in. */
const SPANS = [2, 5, 10, 15];

/** All samples with the state of this moment as the last, in runs without a gap between them. */
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

export function spanMsOf(runs, now) {
  const minutes = (now - runs[0][0][AT]) / 60_000;
  return (SPANS.find((span) => minutes <= span) ?? SPANS.at(-1)) * 60_000;
}

/** Points of one run: when, how many in each state, and how many a second went each way. */
export function pointsOf(run, stepMs) {
  const points = run.map((sample, index) => {
    // A rate over a shorter time than this would jump about.
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
  // The first of a run has nothing before it: it goes on as the second.
  const [first, second] = points;
  if (second !== undefined) {
    for (const figure of ['completed', 'failed', 'generated']) first[figure] ??= second[figure];
  }
  return points;
}

/** What happened in each whole minute of the clock, the newest first, and how things stood at its end. */
export function minutesOf(runs) {
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
  return [...minutes.values()].reverse();
}
