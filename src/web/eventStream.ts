/**
 * Server-sent events to one page, with a bounded memory: at most one frame waits in here. What comes while that one is not
 * taken is dropped, and as soon as it is, the page gets everything there is then to know.
 */
export class EventStream {
  /** The body of the response. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #everything: () => Uint8Array | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #missedSince: number | undefined;

  /**
   * @param everything a frame with all that is known now
   * @param onClose the page has gone, or `close` was called
   */
  constructor(everything: () => Uint8Array | undefined, onClose: () => void) {
    this.#everything = everything;
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#catchUp(),
        cancel: () => {
          this.#controller = undefined;
          onClose();
        },
      },
      { highWaterMark: 1 },
    );
  }

  /** Milliseconds for which the page has taken nothing although there was something. */
  get behindMs(): number {
    return this.#missedSince === undefined ? 0 : performance.now() - this.#missedSince;
  }

  send(frame: Uint8Array): void {
    const room = this.#controller?.desiredSize ?? 0;
    if (this.#missedSince === undefined && room > 0) this.#controller?.enqueue(frame);
    else this.#missedSince ??= performance.now();
  }

  /** The page gets what is still on its way, and the end. */
  close(): void {
    this.#controller?.close();
    this.#controller = undefined;
  }

  #catchUp(): void {
    if (this.#missedSince === undefined) return;
    this.#missedSince = undefined;
    const frame = this.#everything();
    if (frame !== undefined) this.#controller?.enqueue(frame);
  }
}
