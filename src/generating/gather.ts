/*
 * Group commit: while one commit is pending, everything that the task yields is gathered and then committed as one
 * batch, with the last cursor. Otherwise a task that yields one message at a time would wait for Redis after each
 * message.
 *
 * Used only for tasks that set `groupCommits: true`: for them, resuming after a `yield` does not mean that the batch is
 * committed.
 */
import type { BatchLimits, EncodedBatch } from './batch';

/** Returns one batch after the other; undefined at the end. */
export interface BatchSource {
  next(): Promise<EncodedBatch | undefined>;
}

/** Reads ahead of the commits, within limits. A single batch that exceeds them is committed alone. */
export class Gatherer implements BatchSource {
  readonly #source: BatchSource;
  readonly #limits: BatchLimits;
  #messages: string[] = [];
  #chars = 0;
  #cursorJson: string | undefined;
  #end: { readonly error?: unknown } | undefined;
  #changed: () => void = () => undefined;
  #taken: () => void = () => undefined;

  constructor(source: BatchSource, limits: BatchLimits, signal: AbortSignal) {
    this.#source = source;
    this.#limits = limits;
    void this.#read(signal).then(
      () => this.#finish({}),
      (error: unknown) => this.#finish({ error }),
    );
  }

  /** Returns what was gathered since the last call, or waits for it. An error follows the batches that preceded it. */
  async next(): Promise<EncodedBatch | undefined> {
    while (this.#cursorJson === undefined) {
      if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error;
        return undefined;
      }
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
    const batch = { messages: this.#messages, chars: this.#chars, cursorJson: this.#cursorJson };
    this.#messages = [];
    this.#chars = 0;
    this.#cursorJson = undefined;
    this.#taken();
    return batch;
  }

  async #read(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const batch = await this.#source.next();
      if (batch === undefined) return;
      while (!this.#hasRoomFor(batch)) await new Promise<void>((resolve) => (this.#taken = resolve));
      for (const message of batch.messages) this.#messages.push(message);
      this.#chars += batch.chars;
      this.#cursorJson = batch.cursorJson;
      this.#changed();
    }
  }

  #hasRoomFor({ messages, chars }: EncodedBatch): boolean {
    if (this.#cursorJson === undefined) return true;
    return (
      this.#messages.length + messages.length <= this.#limits.messages &&
      this.#chars + chars <= this.#limits.chars
    );
  }

  #finish(end: { readonly error?: unknown }): void {
    this.#end = end;
    this.#changed();
  }
}
