import { types } from 'node:util';

/**
 * An error whose message is meant for the user at the terminal: it says what was found, what was expected and what to
 * do. Exit codes: 1 for a failure, 2 for invalid usage or configuration.
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

/** Turns any thrown value into an Error. Used once, at the border where foreign code throws. */
export function toError(thrown: unknown): Error {
  if (typeof thrown === 'string') return new Error(thrown);
  let text: string | undefined;
  try {
    // An error of another realm (vm, Jest) is not an instance of this realm's Error.
    if (thrown instanceof Error || types.isNativeError(thrown)) return thrown;
    text = JSON.stringify(thrown);
  } catch {
    // It is circular or hostile: only its type can be stated.
  }
  return new Error(text ?? `a value of type ${typeof thrown} was thrown`, { cause: thrown });
}

/** Thrown by a leader's work when Redis shows a newer term: this leadership is over. */
export class DeposedError extends Error {
  override name = 'DeposedError';
}
