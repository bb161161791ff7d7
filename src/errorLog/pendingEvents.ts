import { sleep } from '../time';

/** Events that have been read but not processed. */
export class PendingEvents {
  #jobs: { eventId: string; jobId: string }[] = [];
  #read: string;
  #taken: string;
  #arrived = new AbortController();

  /** @param start id of the last processed event */
  constructor(start: string) {
    this.#read = start;
    this.#taken = start;
  }

  /** Id of the last event that `take` returned, or of one before everything that it will return. */
  get position(): string {
    return this.#taken;
  }

  get isEmpty(): boolean {
    return this.#jobs.length === 0;
  }

  add(eventId: string, jobId?: string): void {
    this.#read = eventId;
    if (jobId === undefined) return;
    this.#jobs.push({ eventId, jobId });
    this.#arrived.abort();
  }

  /** Resolves when there are jobs to sync, or after `ms` milliseconds. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#jobs.length > 0) return;
    this.#arrived = new AbortController();
    await sleep(ms, this.#arrived.signal, signal);
  }

  /** Returns the next jobs to sync and the position reached with them; without a position, nothing has happened. */
  take(max: number): { ids: Set<string>; position: string | undefined } {
    const taken = this.#jobs.splice(0, max);
    const position = this.#jobs.length === 0 ? this.#read : taken.at(-1)!.eventId;
    const moved = position !== this.#taken;
    this.#taken = position;
    return { ids: new Set(taken.map(({ jobId }) => jobId)), position: moved ? position : undefined };
  }
}

/** Compares stream ids `milliseconds-sequence`; returns a negative number, zero or a positive number. */
export function compareIds(a: string, b: string): number {
  const [aTime = 0, aSequence = 0] = a.split('-').map(Number);
  const [bTime = 0, bSequence = 0] = b.split('-').map(Number);
  return aTime - bTime || aSequence - bSequence;
}
