import type { ActiveMessage } from './activeMessage';

/** A message is slow if it has been active for longer than this multiple of the median, and than the minimum. */
const SLOW_FACTOR = 10;
const MIN_SLOW_MS = 60_000;
/** Number of recent durations from which the median is taken. */
const MAX_DURATIONS = 101;

/** The active messages of an instance, and recent handling times. */
export class ActiveMessages {
  readonly #byId = new Map<string, ActiveMessage>();
  readonly #durations: number[] = [];
  #next = 0;

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): ActiveMessage | undefined {
    return this.#byId.get(id);
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  all(): Iterable<ActiveMessage> {
    return this.#byId.values();
  }

  add(message: ActiveMessage): void {
    this.#byId.set(message.id, message);
  }

  /** Compares the token too: the message might have been delivered to this instance a second time. */
  remove(id: string, token: string): void {
    if (this.#byId.get(id)?.token === token) this.#byId.delete(id);
  }

  noteDuration(ms: number): void {
    this.#durations[this.#next] = ms;
    this.#next = (this.#next + 1) % MAX_DURATIONS;
  }

  /** How long a message can be active before it counts as slow, in milliseconds. */
  get slowAfterMs(): number {
    const sorted = this.#durations.toSorted((a, b) => a - b);
    return Math.max(MIN_SLOW_MS, SLOW_FACTOR * (sorted[Math.floor(sorted.length / 2)] ?? 0));
  }

  /** Messages that have been active for unusually long. */
  slow(): ActiveMessage[] {
    const startedBefore = performance.now() - this.slowAfterMs;
    return [...this.#byId.values()].filter(({ startedAt }) => startedAt < startedBefore);
  }

  /** How long the oldest message has been active, in milliseconds; 0 if there is none. */
  get oldestMs(): number {
    let oldest = Infinity;
    for (const { startedAt } of this.#byId.values()) oldest = Math.min(oldest, startedAt);
    return oldest === Infinity ? 0 : performance.now() - oldest;
  }
}
