import type { ErrorDetails } from '../errorLog/record';

/** One error of a chain: the error itself, a cause, or one of the errors of an AggregateError. */
export interface ErrorLink {
  /** How it relates to its parent; empty for the error itself. */
  readonly relation: string;
  /** How deep it is nested, from 0. */
  readonly depth: number;
  readonly name: string;
  readonly message: string;
  readonly code: string;
  /** The frames of its stack, without the line that repeats name and message. */
  readonly stack: string;
}

/** Limits of a displayed chain: number of errors, and characters of a message, of a stack, and of the whole chain. */
const MAX_LINKS = 30;
const MAX_MESSAGE = 2000;
const MAX_STACK = 8000;
const MAX_CHARS = 40_000;

/** Lists an error, its causes and its nested errors in reading order. Bounded in number and size. */
export function errorChain(error: ErrorDetails): ErrorLink[] {
  const links: ErrorLink[] = [];
  let left = MAX_CHARS;
  const add = (each: ErrorDetails, relation: string, depth: number): void => {
    if (links.length >= MAX_LINKS || left <= 0) return;
    const link = linkOf(each, relation, depth);
    left -= link.message.length + link.stack.length;
    links.push(link);
    const { errors = [], cause } = each;
    errors.forEach((one, index) => add(one, `error ${index + 1} of ${errors.length}`, depth + 1));
    if (cause !== undefined) add(cause, 'caused by', depth + 1);
  };
  add(error, '', 0);
  return links;
}

function linkOf({ name, message, stack, code }: ErrorDetails, relation: string, depth: number): ErrorLink {
  return {
    ...{ relation, depth, name: cut(name, 200), message: cut(message, MAX_MESSAGE) },
    code: code === undefined ? '' : cut(String(code), 200),
    stack: cut(withoutHead(stack), MAX_STACK),
  };
}

/** Returns what follows the head of a stack; the whole stack if it has no frames. */
export function withoutHead(stack: string): string {
  const start = stack.search(/^[ \t]+at /m);
  return start === -1 ? stack : stack.slice(start);
}

/** Truncates a text, and marks it as truncated. */
export function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
