import { type Logger, taskLogger } from '../logging/logger';
import type { HandleContext } from '../tasks/task';

/** A message that was delivered to this instance and whose outcome is not stored yet. */
export class ActiveMessage {
  readonly id: string;
  readonly attempt: number;
  /** The token of its lock. */
  readonly token: string;
  /** On the monotonic clock. */
  readonly startedAt = performance.now();
  readonly context: HandleContext;
  /** What its handler threw, in the form in which it is stored with BullMQ's fields. */
  errorDetails: string | undefined;
  /** Whether the log already reports that it takes unusually long. */
  isReportedSlow = false;
  readonly #parentLogger: Logger;
  #logger: Logger | undefined;
  #controller: AbortController | undefined;
  #aborted: DOMException | undefined;

  constructor(id: string, attempt: number, token: string, parentLogger: Logger) {
    this.id = id;
    this.attempt = attempt;
    this.token = token;
    this.#parentLogger = parentLogger;
    this.context = new Context(this);
  }

  get isAborted(): boolean {
    return this.#aborted !== undefined;
  }

  /** Tells the handler that it no longer owns the message, and why. The first reason is kept. */
  abort(reason: string): void {
    this.#aborted ??= new DOMException(reason, 'AbortError');
    this.#controller?.abort(this.#aborted);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  get logger(): Logger {
    return (this.#logger ??= taskLogger(this.#parentLogger, { id: this.id }));
  }
}

/**
 * The context that a handler receives. Signal and logger are created on first use, since most handlers use neither. The
 * getters are on the prototype: as properties of each object they would take 4 µs a message, a tenth of the total cost
 * of handling one.
 */
class Context implements HandleContext {
  readonly id: string;
  readonly attempt: number;
  readonly #message: ActiveMessage;

  constructor(message: ActiveMessage) {
    this.id = message.id;
    this.attempt = message.attempt;
    this.#message = message;
  }

  get signal(): AbortSignal {
    return this.#message.signal;
  }

  get logger(): Logger {
    return this.#message.logger;
  }
}
