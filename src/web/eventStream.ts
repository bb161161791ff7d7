/**
 * Sends server-sent events to one page with bounded memory: at most one frame is buffered. Meanwhile, further frames
 * are dropped; as soon as the page reads the buffered frame, it receives the complete state.
 */
export class EventStream {
  /** The body of the response. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #everything: () => Uint8Array | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #missedSince: number | undefined;

  /**
   * @param everything returns a frame with the complete state
   * @param onClose called when the page has disconnected
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

  /** How long the page has not read a frame that is ready, in milliseconds. */
  get behindMs(): number {
    return this.#missedSince === undefined ? 0 : performance.now() - this.#missedSince;
  }

  send(frame: Uint8Array): void {
    const room = this.#controller?.desiredSize ?? 0;
    if (this.#missedSince === undefined && room > 0) this.#controller?.enqueue(frame);
    else this.#missedSince ??= performance.now();
  }

  /** Ends the stream after the frames that are already buffered. */
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
