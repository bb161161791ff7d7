/**
 * The time source of the parts: monotonic milliseconds, and a sleep that can end early. It is passed in, so that tests
 * can replace the clock. Wall-clock time never takes part in a decision.
 */
export interface Clock {
  /** Milliseconds on the monotonic clock. Only differences are meaningful. */
  now(): number;
  /** Resolves after `ms` milliseconds (0 if negative), or as soon as one of the signals aborts. Never rejects. */
  sleep(ms: number, ...signals: AbortSignal[]): Promise<void>;
}

export const systemClock: Clock = { now: () => performance.now(), sleep };

/** Longest delay that a Node.js timer accepts, in milliseconds. A longer one would fire immediately. */
export const MAX_TIMER_MS = 2_147_483_647;

/** Resolves after `ms` milliseconds (0 if negative), or as soon as one of the signals aborts. Never rejects. */
export function sleep(ms: number, ...signals: AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    if (signals.some((signal) => signal.aborted)) return resolve();
    const done = () => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', done);
      resolve();
    };
    // Newer versions of Node.js warn of a negative delay.
    const timer = setTimeout(done, Math.min(Math.max(0, ms), MAX_TIMER_MS));
    for (const signal of signals) signal.addEventListener('abort', done, { once: true });
  });
}

/** Resolves when `signal` aborts; immediately if it already has. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Settles as `work` does, or resolves with undefined as soon as `signal` aborts. The work itself is not stopped. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(undefined);
    if (signal.aborted) stop();
    // Promise.race with one long-lived promise would keep a reference to every call for as long as that promise lives.
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/**
 * Settles as `work` does, or rejects with "<what> took longer than <ms> ms". The work itself is not stopped: the caller
 * ensures that a late result is harmless.
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
