// The report as text: Markdown that is also readable on a terminal.
import { readFileSync, writeFileSync } from 'node:fs';

const MARKS = ['<!-- table -->', '<!-- /table -->'];

export function reportText({ machine, options, seconds, targets, tables }) {
  const { processor, memory, system, node, redis, bullmq, bull, beeQueue } = machine;
  const about =
    `${processor}, ${memory}, ${system}; Node.js ${node}; Redis ${redis} on the same machine, without persistence; ` +
    `BullMQ ${bullmq}${bull ? `, Bull ${bull}, bee-queue ${beeQueue}` : ''}. One run of ${Math.round(seconds / 60)} min, ` +
    `${options.rounds} ${options.rounds === 1 ? 'round' : 'rounds'}${options.quick ? ', --quick' : ''}. The spread is ` +
    'from the least to the most. Ratios are taken round by round.';
  const judged = targets.filter(({ measured }) => measured !== undefined);
  const parts = [...(judged.length > 0 ? [targetsText(judged)] : []), ...tables.map(tableText)];
  return [about, ...parts].join('\n\n');
}

/** Writes the report between the markers in a file. */
export function fillIn(file, text) {
  const before = readFileSync(file, 'utf8');
  const [start, end] = MARKS.map((mark) => before.indexOf(mark));
  if (start === -1 || end < start)
    throw new Error(`${file} has no ${MARKS.join(' … ')}, expected both, each once`);
  const after = `${before.slice(0, start + MARKS[0].length)}\n\n${text}\n\n${before.slice(end)}`;
  writeFileSync(file, after);
}

function tableText({ title, about, base, figures }) {
  const further = [...new Set(figures.flatMap(({ also }) => Object.keys(also)))];
  const compared = figures.some(({ ratio }) => ratio);
  const head = ['', 'median', 'spread', ...(compared ? [base, 'spread'] : []), ...further];
  const rows = figures.map(({ label, unit, median, ratio, also, ...figure }) => [
    label,
    `${shown(median)} ${unit}`.trim(),
    range(figure, shown),
    ...(compared ? [share(ratio?.median), ratio ? range(ratio, share) : ''] : []),
    ...further.map((heading) => (heading in also ? shown(also[heading]) : '')),
  ]);
  return `### ${title}\n\n${about}\n\n${grid([head, ...rows])}`;
}

function targetsText(targets) {
  const head = ['target', 'wanted', 'measured', ''];
  const rows = targets.map(({ what, unit, least, most, measured, met }) => [
    what,
    `${least !== undefined ? '≥' : '≤'} ${least ?? most} ${unit}`.trim(),
    `${shown(measured)} ${unit}`.trim(),
    met ? 'met' : '**not met**',
  ]);
  return `### Targets\n\n${grid([head, ...rows])}`;
}

/** Formats a number with three significant digits, or as a whole number. */
function shown(value) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

const share = (value) => (value === undefined ? '' : value.toFixed(2));
const range = ({ low, high }, show) => (low === high ? '' : `${show(low)} – ${show(high)}`);

/** Returns a Markdown table with aligned columns. */
function grid([head, ...rows]) {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
