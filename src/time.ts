/**
 * Time as the parts see it: monotonic milliseconds and a sleep that ends early when told to. Passed in, so that
 * tests can put a clock of their own in its place. Wall-clock time never takes part in a decision.
 */
export interface Clock {
  /** Milliseconds on the monotonic clock. Only differences mean anything. */
  now(): number;
  /** Resolves after `ms` milliseconds, or as soon as one of the signals aborts. Never rejects. */
  sleep(ms: number, ...signals: AbortSignal[]): Promise<void>;
}

export const systemClock: Clock = { now: () => performance.now(), sleep };

/** Longest time that a timer of Node.js can run, in milliseconds. A longer one would fire at once. */
export const MAX_TIMER_MS = 2_147_483_647;

/** Resolves after `ms` milliseconds, or as soon as one of the signals aborts. Never rejects. */
export function sleep(ms: number, ...signals: AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    if (signals.some((signal) => signal.aborted)) return resolve();
    const done = () => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, MAX_TIMER_MS));
    for (const signal of signals) signal.addEventListener('abort', done, { once: true });
  });
}

/** Resolves when `signal` aborts; at once if it already has. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** What `work` settles to, or undefined as soon as `signal` aborts. The work itself is not stopped. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(undefined);
    if (signal.aborted) stop();
    // Not Promise.race with one long-lived promise: that would keep a trace of every call for as long as it lives.
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/**
 * What `work` settles to, or a rejection with "<what> took longer than <ms> ms". The work itself is not stopped:
 * whoever calls this makes sure that a late result can do no harm.
 */
export async function withDeadline<T>(
  work: Promise<T>,
  ms: number,
  what: string,
  clock: Clock = systemClock,
): Promise<T> {
  const timer = new AbortController();
  const late = clock.sleep(ms, timer.signal).then(() => {
    throw new Error(`${what} took longer than ${Math.round(ms)} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}
