// The tables as text: Markdown that is also readable on a terminal.

/** Three significant digits, or whole. */
export function shown(value) {
  if (value === undefined || Number.isNaN(value)) return '-';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

const share = (value) => (value === undefined ? '' : value.toFixed(2));
const range = ({ low, high }, show) => (low === high ? '' : `${show(low)} – ${show(high)}`);

export function tableText({ title, about, figures }) {
  const further = [...new Set(figures.flatMap(({ also }) => Object.keys(also)))];
  const compared = figures.some(({ ratio }) => ratio);
  const head = ['', 'median', 'spread', ...(compared ? ['of BullMQ alone', 'spread'] : []), ...further];
  const rows = figures.map(({ label, unit, median, ratio, also, ...figure }) => [
    label,
    `${shown(median)} ${unit}`,
    range(figure, shown),
    ...(compared ? [share(ratio?.median), ratio ? range(ratio, share) : ''] : []),
    ...further.map((heading) => (heading in also ? shown(also[heading]) : '')),
  ]);
  return `### ${title}\n\n${about}\n\n${grid([head, ...rows])}\n`;
}

export function targetsText(targets) {
  const head = ['target', 'wanted', 'measured', ''];
  const rows = targets.map(({ what, unit, least, most, measured, met }) => [
    what,
    `${least !== undefined ? '≥' : '≤'} ${least ?? most} ${unit}`.trim(),
    measured === undefined ? 'not measured' : `${shown(measured)} ${unit}`.trim(),
    met === undefined ? '' : met ? 'met' : '**not met**',
  ]);
  return `### Targets\n\n${grid([head, ...rows])}\n`;
}

/** A Markdown table with columns as wide as their widest cell. */
function grid([head, ...rows]) {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
