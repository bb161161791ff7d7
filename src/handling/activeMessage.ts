import type { Logger } from '../logger';
import type { HandleContext } from '../tasks/task';

/** A message that is being handled. */
export class MessageInHand {
  /** What its handler gets. Signal and logger are made when asked for: most handlers ask for neither. */
  readonly context: HandleContext;
  #controller: AbortController | undefined;
  #aborted: DOMException | undefined;

  constructor(id: string, attempt: number, parentLogger: Logger) {
    const signal = (): AbortSignal => this.#signal();
    let logger: Logger | undefined;
    this.context = {
      id,
      attempt,
      get signal() {
        return signal();
      },
      get logger() {
        return (logger ??= parentLogger.child({ id }));
      },
    };
  }

  get isAborted(): boolean {
    return this.#aborted !== undefined;
  }

  /** Tells the handler that the message is no longer its to finish, and why. */
  abort(why: string): void {
    this.#aborted ??= new DOMException(why, 'AbortError');
    this.#controller?.abort(this.#aborted);
  }

  #signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }
}
