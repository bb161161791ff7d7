/** The value below which a share `q` of the values lies. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}

export const median = (values) => quantile(values, 0.5);

/** p50, p99 and max in whole milliseconds, as one cell of a table. */
export function summary(values) {
  if (values.length === 0) return '-';
  const round = (value) => Math.round(value);
  return `${round(median(values))} / ${round(quantile(values, 0.99))} / ${round(Math.max(...values))}`;
}
