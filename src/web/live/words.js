// Numbers and times as a person reads them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const count = (number) => whole.format(number);

/** A number a second. */
export const rate = (number) => (number >= 100 ? whole.format(number) : tenths.format(number));

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** The time of day here, of milliseconds since 1970. */
export function clock(at, seconds = true) {
  const parts = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Date(at).toLocaleTimeString('en-GB', seconds ? { ...parts, second: '2-digit' } : parts);
}

/** With the day, where it is not today's. */
export function moment(at, now) {
  const day = new Date(at).toDateString();
  if (day === new Date(now).toDateString()) return clock(at);
  return `${new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock(at, false)}`;
}

/** Number and unit stay on one line. */
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

/** A duration that grows on the page: without tenths, which would flicker. */
export const age = (ms) => (ms < 10_000 ? `${Math.max(0, Math.floor(ms / 1000))}\u00a0s` : duration(ms));

const CAUSES = {
  first: 'nobody had led before',
  crash: 'the process of the one before was gone',
  silence: 'the one before was not heard of until its lease ran out',
  'hand-over': 'the one before stepped down in order',
};

export const cause = (name) => String(name);
export const explained = (name) => (Object.hasOwn(CAUSES, name) ? CAUSES[name] : '');
/** For the colour of it; anything may be stored. */
export const kindOf = (name) => (Object.hasOwn(CAUSES, name) ? name : 'other');
