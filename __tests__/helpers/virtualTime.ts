import type { Clock } from '../../src/time';

interface Timer {
  at: number;
  order: number;
  run: () => void;
}

/** Simulated time for any number of processes, each of which can be paused. */
export class VirtualTime {
  now = 0;
  #timers: Timer[] = [];
  #order = 0;

  /** Calls `run` in `ms` milliseconds. Returns a function that cancels it. */
  after(ms: number, run: () => void): () => void {
    const timer = { at: this.now + Math.max(0, ms), order: this.#order++, run };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  /** Advances time to `end`, one timer after another, and settles everything that follows from each. */
  async passUntil(end: number): Promise<void> {
    await settle();
    for (;;) {
      this.#timers.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#timers[0];
      if (next === undefined || next.at > end) break;
      this.#timers.shift();
      this.now = next.at;
      next.run();
      await settle();
    }
    this.now = end;
  }
}

/** A process in simulated time. While it is paused, events are queued; on resume they all arrive at once. */
export class VirtualProcess {
  readonly clock: Clock;
  readonly #time: VirtualTime;
  #paused = false;
  #backlog: (() => void)[] = [];

  constructor(time: VirtualTime) {
    this.#time = time;
    this.clock = {
      now: () => time.now,
      sleep: (ms, ...signals) =>
        new Promise((resolve) => {
          if (signals.some((signal) => signal.aborted)) return resolve();
          let over = false;
          const done = () => {
            if (over) return;
            over = true;
            cancel();
            for (const signal of signals) signal.removeEventListener('abort', done);
            resolve();
          };
          const cancel = time.after(ms, () => this.deliver(done));
          for (const signal of signals) signal.addEventListener('abort', done, { once: true });
        }),
    };
  }

  /** Runs `event` in this process as soon as it is not paused. */
  deliver(event: () => void): void {
    if (this.#paused) this.#backlog.push(event);
    else event();
  }

  pause(ms: number): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#time.after(ms, () => {
      this.#paused = false;
      for (const event of this.#backlog.splice(0)) event();
    });
  }
}

/** Waits until no pending promise can settle. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
