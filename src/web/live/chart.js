import { byId, element, setText, shape, showList } from './dom.js';
import { minutesOf, pointsOf, runsOf, spanMsOf } from './samples.js';
import { cause, clock, count, duration, kindOf, rate } from './words.js';

const PANELS = [
  {
    id: 'flow',
    title: 'messages per second',
    least: 1,
    shown: rate,
    series: [
      { figure: 'generated', label: 'generated' },
      { figure: 'completed', label: 'completed', area: true },
      { figure: 'failed', label: 'failed' },
    ],
  },
  {
    id: 'stock',
    title: 'messages in the queue',
    least: 4,
    whole: true,
    shown: count,
    series: [
      { figure: 'waiting', label: 'waiting', area: true },
      { figure: 'active', label: 'active' },
      { figure: 'delayed', label: 'delayed' },
    ],
  },
];
const HEIGHT = 88;
/** A strip rather than the whole height: a long outage would hide the chart. */
const VACANT_HEIGHT = 5;
const EDGE = { left: 34, right: 8, top: 20, bottom: 18 };

let latest;
/** The time under the pointer, in milliseconds since 1970. */
let lookedAt;

export function setUpChart() {
  const chart = byId('chart');
  for (const panel of PANELS) {
    const keys = panel.series.map(({ figure, label }) =>
      element(
        'span',
        { class: `key ${figure}` },
        element('i', { 'aria-hidden': 'true' }),
        `${label} `,
        element('b', { 'data-value': figure }, '–'),
      ),
    );
    const drawing = shape('svg', { role: 'img', id: `chart-${panel.id}` });
    drawing.addEventListener('pointermove', (event) => look(event, drawing));
    drawing.addEventListener('pointerleave', () => look());
    const head = element('h3', {}, panel.title, ' ', element('span', { class: 'at' }));
    chart.append(
      element('div', { class: 'panel' }, head, element('p', { class: 'legend' }, ...keys), drawing),
    );
  }
  new ResizeObserver(() => latest !== undefined && draw()).observe(chart);
}

export function showChart(state, now) {
  const runs = runsOf(state, now);
  const spanMs = spanMsOf(runs, now);
  const from = now - spanMs;
  const points = runs.map((run) => pointsOf(run, state.history.stepMs));
  latest = { points, terms: state.terms, from, now, spanMs, stepMs: state.history.stepMs };
  setText(byId('history-title'), `The last ${spanMs / 60_000} minutes`);
  draw();
  if (byId('minutes').closest('details').open) showMinutes(runs, from);
  else byId('minutes').closest('details').ontoggle = () => showMinutes(runs, from);
}

function look(event, drawing) {
  if (latest === undefined) return;
  lookedAt = undefined;
  if (event !== undefined) {
    const { left, width } = drawing.getBoundingClientRect();
    const share = (event.clientX - left - EDGE.left) / (width - EDGE.left - EDGE.right);
    if (share >= 0 && share <= 1) lookedAt = latest.from + share * latest.spanMs;
  }
  draw();
}

function draw() {
  const { points, from, now, spanMs } = latest;
  const width = Math.max(200, byId('chart').querySelector('.panel').clientWidth);
  const x = (at) => EDGE.left + ((at - from) / spanMs) * (width - EDGE.left - EDGE.right);
  const all = points.flat();
  const shownPoint = lookedAt === undefined ? all.at(-1) : nearest(all, lookedAt);
  for (const panel of PANELS) {
    const inside = all.filter(({ at }) => at >= from);
    const values = panel.series.flatMap(({ figure }) => inside.map((point) => point[figure] ?? 0));
    const top = niceTop(Math.max(panel.least, ...values), panel.whole);
    const y = (value) => EDGE.top + (1 - value / top) * HEIGHT;
    const drawing = byId(`chart-${panel.id}`);
    drawing.setAttribute('viewBox', `0 0 ${width} ${EDGE.top + HEIGHT + EDGE.bottom}`);
    drawing.setAttribute('height', String(EDGE.top + HEIGHT + EDGE.bottom));
    drawing.setAttribute('aria-label', summaryOf(panel, inside, spanMs));
    drawing.replaceChildren(
      ...gridOf(top, y, width),
      ...hoursOf(from, now, x, width),
      ...gapsOf(points, from, x),
      ...panel.series.flatMap((series) => linesOf(series, points, from, x, y)),
      ...termsOf(latest, x, width),
      ...(lookedAt === undefined || shownPoint === undefined ? [] : [upright('look', x(shownPoint.at))]),
    );
    const legend = drawing.previousElementSibling;
    for (const { figure } of panel.series) {
      const value = shownPoint?.[figure];
      setText(
        legend.querySelector(`[data-value="${figure}"]`),
        value === undefined ? '–' : panel.shown(value),
      );
    }
    setText(
      legend.previousElementSibling.querySelector('.at'),
      lookedAt === undefined ? '' : `at ${clock(shownPoint.at)}`,
    );
  }
}

function nearest(points, at) {
  return points.reduce(
    (best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best),
    points[0],
  );
}

/** The upper end of an axis: a round number, and an even one where the axis shows whole numbers, since it is halved. */
function niceTop(value, whole = false) {
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = whole ? [2, 4, 6, 10] : [1, 2, 5, 10];
  return steps.map((step) => step * power).find((step) => step >= value);
}

const upright = (name, at) =>
  shape('line', { class: name, x1: at, x2: at, y1: EDGE.top, y2: EDGE.top + HEIGHT });

function gridOf(top, y, width) {
  return [0, top / 2, top].flatMap((value) => [
    shape('line', { class: 'grid', x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
    shape('text', { class: 'axis', x: EDGE.left - 6, y: y(value) + 4, 'text-anchor': 'end' }, short(value)),
  ]);
}

const short = (value) =>
  value >= 10_000
    ? `${value / 1000}k`
    : Number.isInteger(value)
      ? String(value)
      : value.toFixed(value < 0.1 ? 2 : 1);

/** Returns the labels of the time axis at whole minutes, limited by the width. */
function hoursOf(from, now, x, width) {
  const most = Math.max(2, Math.floor(width / 90));
  const step =
    [0.5, 1, 2, 5].map((minutes) => minutes * 60_000).find((each) => (now - from) / each <= most) ?? 300_000;
  const marks = [];
  for (let at = Math.ceil(from / step) * step; at <= now; at += step) {
    if (x(at) > width - 26 || x(at) < EDGE.left + 14) continue;
    marks.push(
      shape(
        'text',
        { class: 'axis', x: x(at), y: EDGE.top + HEIGHT + 14, 'text-anchor': 'middle' },
        clock(at, step < 60_000),
      ),
    );
  }
  return marks;
}

/** Times without samples, because there was no leader. */
function gapsOf(points, from, x) {
  return points.slice(1).flatMap((run, index) => {
    const [start, end] = [Math.max(from, points[index].at(-1).at), run[0].at];
    if (end <= from) return [];
    return [
      shape('rect', { class: 'gap', x: x(start), width: x(end) - x(start), y: EDGE.top, height: HEIGHT }),
    ];
  });
}

function linesOf({ figure, area }, runs, from, x, y) {
  return runs.flatMap((run) => {
    const known = run.filter((point) => point[figure] !== undefined);
    // Include one point before the window, so that the line starts at its edge.
    const start = Math.max(0, known.findIndex(({ at }) => at >= from) - 1);
    const places = known.slice(start).map((point) => [Math.max(EDGE.left, x(point.at)), y(point[figure])]);
    if (places.length === 0 || known.at(-1).at < from) return [];
    const path = places
      .map(([px, py], index) => `${index === 0 ? 'M' : 'L'}${px.toFixed(1)} ${py.toFixed(1)}`)
      .join('');
    const line = shape('path', { class: `line ${figure}`, d: path });
    if (!area) return [line];
    const closed = `${path}L${places.at(-1)[0].toFixed(1)} ${y(0)}L${places[0][0].toFixed(1)} ${y(0)}Z`;
    return [shape('path', { class: `area ${figure}`, d: closed }), line];
  });
}

/** Marks where each term began, its cause, and, along the bottom, the time without a leader before it. */
function termsOf({ terms, from }, x, width) {
  const shown = [...terms].reverse().filter(({ since }) => since >= from);
  const crowns = shown.map(({ since }) => x(since));
  // The right end of the text written so far.
  let written = 0;
  return shown.flatMap(({ term, since, source, cause: why, vacantMs = 0 }, index) => {
    const at = crowns[index];
    const vacantFrom = Math.max(EDGE.left, x(since - vacantMs));
    const kind = kindOf(why);
    const marks = [
      shape('rect', {
        class: `vacant ${kind}`,
        ...{ x: vacantFrom, width: Math.max(1, at - vacantFrom) },
        ...{ y: EDGE.top + HEIGHT - VACANT_HEIGHT, height: VACANT_HEIGHT },
      }),
      upright(`term ${kind}`, at),
    ];
    if (at - 8 < written) return marks;
    marks.push(shape('use', { class: 'crown', href: '#crown', x: at - 7, y: 2, width: 14, height: 12 }));
    const text = `${source === undefined ? '' : `${source}, `}term ${term}: ${cause(why)}`;
    const wide = text.length * 6;
    // To the right of its crown if there is room before the next crown; the last one's may go to the left instead.
    const right = at + 11 + wide < Math.min(width, (crowns[index + 1] ?? Infinity) - 9);
    const left = index === shown.length - 1 && at - 11 - wide > written;
    written = at + 11;
    if (!right && !left) return marks;
    if (right) written += wide;
    return [...marks, shape('text', { class: 'axis', x: right ? at + 11 : at - 11 - wide, y: 12 }, text)];
  });
}

function summaryOf({ title, series, shown }, points, spanMs) {
  const parts = series.map(({ figure, label }) => {
    const values = points.map((point) => point[figure]).filter((value) => value !== undefined);
    if (values.length === 0) return `${label} not known`;
    return `${label} ${shown(values.at(-1))}, at most ${shown(Math.max(...values))}`;
  });
  return `Chart of ${title} over the last ${duration(spanMs)}. Now: ${parts.join('; ')}.`;
}

function showMinutes(runs, from) {
  showList(
    byId('minutes'),
    minutesOf(runs, from),
    ({ minute }) => minute,
    ({ minute }) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, clock(minute, false)),
        ...Array.from({ length: 6 }, () => element('td', { class: 'number' })),
      ),
    (row, { generated, completed, failed, waiting, active, delayed }) =>
      [generated, completed, failed, waiting, active, delayed].forEach((value, index) =>
        setText(row.children[index + 1], count(value)),
      ),
  );
}
