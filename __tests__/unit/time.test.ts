import { getEventListeners } from 'node:events';
import { aborted, type Clock, sleep, systemClock, untilAborted, withDeadline } from '../../src/time';

const LONG_MS = 600_000;

/** A promise that never settles. */
const never = new Promise<never>(() => undefined);

describe('sleep', () => {
  it('ends after the time', async () => {
    const startedAt = systemClock.now();
    await sleep(20);
    // Timers of Node.js can fire up to a millisecond early.
    expect(systemClock.now() - startedAt).toBeGreaterThanOrEqual(19);
  });

  it('ends as soon as the signal aborts', async () => {
    const controller = new AbortController();
    const sleeping = sleep(LONG_MS, controller.signal);
    controller.abort();
    await expect(sleeping).resolves.toBeUndefined();
  });

  it('ends at once when the signal has aborted already', async () => {
    await expect(sleep(LONG_MS, AbortSignal.abort())).resolves.toBeUndefined();
  });

  it('does not end at once if it is longer than the maximum timeout of Node.js', async () => {
    const controller = new AbortController();
    const sleeping = sleep(2_147_483_647 + 2000, controller.signal).then(() => 'over');
    await expect(Promise.race([sleeping, sleep(50)])).resolves.toBeUndefined();
    controller.abort();
    await sleeping;
  });

  it('asks for no negative time, of which newer versions of Node.js warn', async () => {
    const setTimeout = jest.spyOn(global, 'setTimeout');
    await sleep(-1);
    expect(setTimeout.mock.lastCall?.[1]).toBe(0);
    setTimeout.mockRestore();
  });

  it('leaves no listener on the signal, however it ends', async () => {
    const controller = new AbortController();
    for (let count = 0; count < 20; count++) await sleep(0, controller.signal);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);

    const sleeping = sleep(LONG_MS, controller.signal);
    controller.abort();
    await sleeping;
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });
});

describe('aborted', () => {
  it('resolves when the signal aborts, and at once if it already has', async () => {
    const controller = new AbortController();
    const waiting = aborted(controller.signal);
    controller.abort();
    await expect(waiting).resolves.toBeUndefined();
    await expect(aborted(controller.signal)).resolves.toBeUndefined();
  });
});

describe('untilAborted', () => {
  it('settles like the work', async () => {
    const { signal } = new AbortController();
    await expect(untilAborted(Promise.resolve(1), signal)).resolves.toBe(1);
    await expect(untilAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
  });

  it('resolves with undefined when the signal aborts, and at once if it already has', async () => {
    const controller = new AbortController();
    const waiting = untilAborted(never, controller.signal);
    controller.abort();
    await expect(waiting).resolves.toBeUndefined();
    await expect(untilAborted(never, controller.signal)).resolves.toBeUndefined();
  });

  it('ignores how the work ends after that', async () => {
    const controller = new AbortController();
    let fail: (error: Error) => void;
    const work = new Promise<never>((_, reject) => (fail = reject));
    const waiting = untilAborted(work, controller.signal);
    controller.abort();
    await expect(waiting).resolves.toBeUndefined();
    fail!(new Error('late'));
    await expect(work).rejects.toThrow('late');
  });

  it('leaves no listener on the signal once the work has settled', async () => {
    const { signal } = new AbortController();
    for (let count = 0; count < 20; count++) {
      await untilAborted(Promise.resolve(), signal);
      await untilAborted(Promise.reject(new Error('no')), signal).catch(() => undefined);
    }
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('withDeadline', () => {
  /** Its time stands still until `pass` is called. */
  function stoppedClock() {
    const sleeping: { ms: number; signal: AbortSignal | undefined; wake: () => void }[] = [];
    const clock: Clock = {
      now: () => 0,
      sleep: (ms, signal) => new Promise((wake) => sleeping.push({ ms, signal, wake })),
    };
    return { clock, sleeping };
  }

  it('settles like the work, and clears the timer', async () => {
    const { clock, sleeping } = stoppedClock();
    await expect(withDeadline(Promise.resolve(1), 5, 'this', clock)).resolves.toBe(1);
    await expect(withDeadline(Promise.reject(new Error('no')), 5, 'this', clock)).rejects.toThrow('no');
    expect(sleeping.map(({ signal }) => signal?.aborted)).toEqual([true, true]);
  });

  it('rejects on timeout, naming the work and the limit', async () => {
    const { clock, sleeping } = stoppedClock();
    const late = withDeadline(never, 1234.5678, 'closing the door', clock);
    expect(sleeping[0]!.ms).toBe(1234.5678);
    sleeping[0]!.wake();
    await expect(late).rejects.toThrow('closing the door took longer than 1235 ms');
  });

  it('uses the system clock by default', async () => {
    await expect(withDeadline(never, 5, 'this')).rejects.toThrow('this took longer than 5 ms');
  });
});
