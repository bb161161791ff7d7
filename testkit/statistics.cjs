/**
 * Returns the quantile `q` of the values.
 *
 * @param {number[]} values
 * @param {number} q
 */
function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}

/** @param {number[]} values */
const median = (values) => quantile(values, 0.5);

/**
 * p50, p99 and max in whole milliseconds, as one cell of a table.
 *
 * @param {number[]} values
 */
function summary(values) {
  if (values.length === 0) return '-';
  return [median(values), quantile(values, 0.99), Math.max(...values)].map(Math.round).join(' / ');
}

module.exports = { quantile, median, summary };
