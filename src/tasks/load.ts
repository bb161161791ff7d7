import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError, toError } from '../errors';
import { generates, type Task } from './task';

/**
 * Loads the task that an ES or CommonJS module exports: two functions, `generate` and `handle`, or `handle` alone,
 * exported by name or as properties of the default export.
 *
 * @param path the value of TASK, relative to the working directory
 * @throws AppError (exit code 2) naming the file, what was found and what was expected.
 */
export async function loadTask(path: string): Promise<Task> {
  const file = resolve(path);
  let exported: unknown;
  try {
    exported = await import(pathToFileURL(file).href);
  } catch (error) {
    throw new AppError(`TASK ${file} cannot be loaded: ${firstLine(toError(error).message)}`, 2, {
      cause: error,
    });
  }
  // The default export of an ES module compiled to CommonJS is nested one level deeper.
  const candidates = [exported, defaultOf(exported), defaultOf(defaultOf(exported))];
  const tasks = candidates.filter(isTask);
  const task = tasks.find(generates) ?? onlyHandling(candidates);
  if (task !== undefined) return task;
  const names = Object.keys(exported as object);
  const found = names.every((name) => NOT_EXPORTED.has(name) || name === 'default')
    ? candidates[1]
    : exported;
  throw new AppError(`TASK ${file} exports ${describeExports(found ?? exported)}, ${EXPECTED}`, 2);
}

const EXPECTED = 'expected two functions, generate and handle, or handle alone';

/** Exports that Node.js and compilers add to a module. */
const NOT_EXPORTED: ReadonlySet<string> = new Set(['__esModule', 'module.exports']);

const defaultOf = (exported: unknown) => (exported as { default?: unknown } | null | undefined)?.default;

/** @throws AppError (exit code 2) if `value` is not a task. */
export function checkTask(value: unknown): asserts value is Task {
  if (isTask(value)) return;
  throw new AppError(`the task has ${describeExports(value)}, ${EXPECTED}`, 2);
}

function isTask(value: unknown): value is Task {
  const task = value as Partial<Task> | null | undefined;
  return typeof task?.handle === 'function' && ['function', 'undefined'].includes(typeof task.generate);
}

/**
 * Returns a task without `generate`, or nothing if the module exports `generate` elsewhere than `handle`: that is a
 * mistake, and its instances would never generate.
 */
function onlyHandling(candidates: readonly unknown[]): Task | undefined {
  const isHalf = (value: unknown) => (value as Partial<Task> | null | undefined)?.generate !== undefined;
  return candidates.some(isHalf) ? undefined : candidates.find(isTask);
}

function describeExports(value: unknown): string {
  if (typeof value !== 'object' || value === null)
    return `a value of type ${value === null ? 'null' : typeof value}`;
  const names = Object.keys(value).filter((name) => !NOT_EXPORTED.has(name));
  if (names.length === 0) return 'nothing';
  const fields = value as Record<string, unknown>;
  return names.map((name) => `${name} (${fields[name] === null ? 'null' : typeof fields[name]})`).join(', ');
}

/** Omits what Node.js adds about this very file. */
const firstLine = (text: string) => text.split('\n', 1)[0]!.replace(/ imported from \S+$/, '');
