// Formats numbers and times for people.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const count = (number) => whole.format(number);

/** A number per second. */
export const rate = (number) => (number >= 100 ? whole.format(number) : tenths.format(number));

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** The local time of day. `at` is in milliseconds since 1970. */
export function clock(at, seconds = true) {
  const parts = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Date(at).toLocaleTimeString('en-GB', seconds ? { ...parts, second: '2-digit' } : parts);
}

/** The time of day, with the date if it is not today. */
export function moment(at, now) {
  const day = new Date(at).toDateString();
  if (day === new Date(now).toDateString()) return clock(at);
  return `${new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock(at, false)}`;
}

/** The number and its unit stay on one line. */
export function duration(ms) {
  const [number, unit] = inUnits(ms);
  return `${number}\u00a0${unit}`;
}

function inUnits(ms) {
  if (ms < 1000) return [Math.round(ms), 'ms'];
  const seconds = ms / 1000;
  if (seconds < 9.95) return [tenths.format(seconds), 's'];
  if (seconds < 120) return [Math.floor(seconds), 's'];
  if (seconds < 7200) return [Math.floor(seconds / 60), 'min'];
  if (seconds < 172_800) return [Math.floor(seconds / 3600), 'h'];
  return [Math.floor(seconds / 86_400), 'days'];
}

/** A duration that grows while it is displayed: it has no tenths, which would flicker. */
export const age = (ms) => (ms < 10_000 ? `${Math.max(0, Math.floor(ms / 1000))}\u00a0s` : duration(ms));

const CAUSES = {
  first: 'the first term of this namespace',
  crash: 'the process of the previous generator was gone',
  silence: 'the lease of the previous generator expired: it was paused or cut off, or Redis was unreachable',
  'hand-over': 'the previous generator stepped down in order',
  'by hand': 'somebody moved the cursor',
};

export const cause = (name) => String(name);
export const explained = (name) => (Object.hasOwn(CAUSES, name) ? CAUSES[name] : '');
/** The CSS class of a cause. Data in Redis is untrusted. */
export const kindOf = (name) => (Object.hasOwn(CAUSES, name) ? name.replace(' ', '-') : 'other');

/** Since when and by whom, as far as known. `since` is ISO 8601. */
export function sinceAndBy({ since, by }, now) {
  const at = Date.parse(since ?? '');
  return `${Number.isNaN(at) ? '' : ` since ${moment(at, now)}`}${by === undefined ? '' : `, by ${by}`}`;
}
