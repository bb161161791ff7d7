import { AppError, toError } from '../errors';
import { areSources, EXPECTED_SOURCES } from '../configuration/sourceNames';
import { sleep } from '../time';
import type { Task } from './task';

/** How long the `sources` function of a task can take, in milliseconds. */
const SOURCES_TIMEOUT_MS = 30_000;

/**
 * Returns the names of the sources: those of SOURCES if it is set, otherwise the task's own. Returns undefined if
 * neither names any; then there is one source without a name.
 *
 * @param configured the value of SOURCES, already validated
 * @throws AppError with exit code 2 if the task's sources are not valid names, and with exit code 1 if its function
 * fails or does not answer.
 */
export async function resolveSources(
  configured: readonly string[] | undefined,
  task: Pick<Task, 'sources'>,
  timeoutMs = SOURCES_TIMEOUT_MS,
): Promise<readonly string[] | undefined> {
  if (configured !== undefined) return configured;
  const declared: unknown = task.sources;
  if (declared === undefined) return undefined;
  const names = typeof declared === 'function' ? await ask(task, timeoutMs) : declared;
  if (areSources(names)) return [...names];
  throw new AppError(`the sources of the task are ${shown(names)}, expected ${EXPECTED_SOURCES}`, 2);
}

async function ask(task: Pick<Task, 'sources'>, timeoutMs: number): Promise<unknown> {
  const answered = new AbortController();
  const late = sleep(timeoutMs, answered.signal).then(() => {
    if (!answered.signal.aborted) throw new Error(`no answer within ${timeoutMs} ms`);
  });
  try {
    // Called as a method, because a task can be an object with state.
    const asking = (task.sources as () => unknown).call(task);
    return await Promise.race([asking, late]);
  } catch (error) {
    throw new AppError(`the sources of the task cannot be read: ${toError(error).message}`, 1, {
      cause: error,
    });
  } finally {
    answered.abort();
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined)
    return typeof value === 'undefined' ? 'undefined' : `a value of type ${typeof value}`;
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
