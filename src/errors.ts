import { types } from 'node:util';

/**
 * An error whose message is meant for the person at the terminal: it says what was found, what was expected and
 * what to do. Its exit code follows docs: 1 the program could not, 2 it was asked wrongly.
 */
export class AppError extends Error {
  constructor(
    message: string,
    readonly exitCode: 1 | 2,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'AppError';
  }
}

/** Turns whatever was thrown into an Error. Used once, at the border where foreign code throws. */
export function toError(thrown: unknown): Error {
  if (typeof thrown === 'string') return new Error(thrown);
  let text: string | undefined;
  try {
    // An error of another realm (vm, Jest) is no instance of this one's Error.
    if (thrown instanceof Error || types.isNativeError(thrown)) return thrown;
    text = JSON.stringify(thrown);
  } catch {
    // Circular or hostile: its type is all that can be said.
  }
  return new Error(text ?? `a value of type ${typeof thrown} was thrown`, { cause: thrown });
}

/** Thrown by a leader's work when Redis shows that a newer term exists: this leadership is over. */
export class DeposedError extends Error {
  override name = 'DeposedError';
}
