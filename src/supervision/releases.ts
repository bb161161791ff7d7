import { toError } from '../errors';
import type { Logger } from '../logging/logger';
import { withDeadline } from '../time';

interface Release {
  readonly name: string;
  readonly release: () => Promise<unknown>;
  readonly deadlineMs: number;
}

/**
 * Resources that must be released, in reverse order of acquisition, all of them: a step that fails or hangs does not
 * prevent the others.
 */
export class Releases {
  readonly #stack: Release[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @param deadlineMs how long to wait for the release, in milliseconds; default 2000 */
  push(name: string, release: () => Promise<unknown>, deadlineMs = 2000): void {
    this.#stack.push({ name, release, deadlineMs });
  }

  async releaseAll(): Promise<void> {
    for (let next = this.#stack.pop(); next !== undefined; next = this.#stack.pop()) {
      try {
        await withDeadline(next.release(), next.deadlineMs, `closing ${next.name}`);
      } catch (error) {
        this.#logger.debug(`${next.name} was not closed in order`, { error: toError(error) });
      }
    }
  }
}
