import { types } from 'node:util';

/** The known details of an error: its text and its causes. */
export interface ErrorDetails {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly code?: string | number;
  readonly cause?: ErrorDetails;
  /** The errors of an AggregateError. */
  readonly errors?: readonly ErrorDetails[];
}

/** Maximum depth of causes, and maximum number of errors of one AggregateError. */
const MAX_DEPTH = 6;
const MAX_ERRORS = 10;
/** Maximum length of the texts of causes, in characters. */
export const MAX_MESSAGE = 2000;
const MAX_STACK = 4000;
const MAX_NAME = 200;
/** Once all causes together exceed this many characters of JSON, no further cause is added. */
const MAX_CAUSES = 16_000;

/** Reads errors that can be hostile: proxies, getters and conversions that throw, cycles. Never throws. */
export function describe(thrown: unknown): ErrorDetails {
  return new Describer().describe(thrown, Infinity, Infinity);
}

/** Truncates the text the way Redis stores it: half a surrogate pair is not a character in UTF-8. */
export function bounded(text: string, length: number): string {
  return text.slice(0, length).replace(/\p{Cs}/gu, '\ufffd');
}

class Describer {
  readonly #path = new Set<unknown>();
  #left = MAX_CAUSES;

  describe(thrown: unknown, maxMessage: number, maxStack: number): ErrorDetails {
    if (!isError(thrown)) return { name: 'Error', message: bounded(textOf(thrown), maxMessage), stack: '' };
    this.#path.add(thrown);
    const code = codeOf(thrown);
    const cause = this.#describeCause(read(thrown, 'cause'));
    const errors = this.#describeErrors(read(thrown, 'errors'));
    this.#path.delete(thrown);
    const name = nameOf(thrown);
    const message = textIn(thrown, 'message') || String(code ?? '') || (errors?.[0]?.message ?? '') || name;
    return {
      name: bounded(name, MAX_NAME),
      message: bounded(message || 'Error', maxMessage),
      stack: bounded(textIn(thrown, 'stack'), maxStack),
      ...(code !== undefined && { code }),
      ...(cause !== undefined && { cause }),
      ...(errors !== undefined && { errors }),
    };
  }

  #describeCause(cause: unknown): ErrorDetails | undefined {
    if (cause === undefined || cause === null) return undefined;
    if (this.#path.size >= MAX_DEPTH || this.#path.has(cause) || this.#left <= 0) return undefined;
    // Deducted before its own causes are described; otherwise the innermost would come first.
    this.#left -= 200;
    const details = this.describe(cause, MAX_MESSAGE, MAX_STACK);
    this.#left -= details.message.length + details.stack.length;
    return details;
  }

  #describeErrors(errors: unknown): ErrorDetails[] | undefined {
    if (!isArray(errors)) return undefined;
    const length = Math.min(Number(read(errors, 'length')) || 0, MAX_ERRORS);
    const described: ErrorDetails[] = [];
    for (let index = 0; index < length; index++) {
      const details = this.#describeCause(read(errors, index));
      if (details !== undefined) described.push(details);
    }
    return described.length > 0 ? described : undefined;
  }
}

/** An error of another realm (vm, Jest) is not an instance of this realm's Error. */
function isError(value: unknown): value is object {
  try {
    return value instanceof Error || types.isNativeError(value);
  } catch {
    return false;
  }
}

function isArray(value: unknown): value is object {
  try {
    return Array.isArray(value);
  } catch {
    // The proxy was revoked.
    return false;
  }
}

function read(value: object, key: string | number): unknown {
  try {
    return (value as Record<string | number, unknown>)[key];
  } catch {
    return undefined;
  }
}

function textIn(value: object, key: string): string {
  const text = read(value, key) as string | null | undefined;
  try {
    return text === undefined || text === null ? '' : String(text);
  } catch {
    return '';
  }
}

function codeOf(error: object): string | number | undefined {
  const code = read(error, 'code');
  if (typeof code === 'string' && code !== '') return bounded(code, MAX_NAME);
  return typeof code === 'number' && Number.isFinite(code) ? code : undefined;
}

/** A name must be one line, because it starts the stack. */
function nameOf(error: object): string {
  const name = textIn(error, 'name');
  return name === '' || /[\r\n]/.test(name) ? 'Error' : name;
}

/** Describes a thrown value that is not an error. */
function textOf(thrown: unknown): string {
  let text: string | undefined;
  try {
    text = typeof thrown === 'string' ? thrown : JSON.stringify(thrown);
  } catch {
    // It is circular or hostile: only its type can be stated.
  }
  return text === '' ? 'Error' : (text ?? `a value of type ${typeof thrown} was thrown`);
}
