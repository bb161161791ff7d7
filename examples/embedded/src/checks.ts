import { setTimeout as sleep } from 'node:timers/promises';
import type { Task } from 'node-instances-communication';

/** A message: check this site. Messages are stored in Redis as JSON. */
export interface Check {
  readonly url: string;
  readonly round: number;
}

export interface Result extends Check {
  readonly status: number;
  readonly ms: number;
}

export interface ChecksOptions {
  readonly urls: readonly string[];
  /** Pause between two rounds, in milliseconds. */
  readonly everyMs: number;
  readonly onResult: (result: Result) => void;
}

/** Checks every site once per round. The cursor is the last round, so the next generator continues with the next. */
export function createChecks({ urls, everyMs, onResult }: ChecksOptions): Task<Check, number> {
  return {
    async *generate({ cursor = 0, signal }) {
      for (let round = cursor + 1; !signal.aborted; round++) {
        yield { messages: urls.map((url) => ({ url, round })), cursor: round };
        await sleep(everyMs, undefined, { signal }).catch(() => undefined);
      }
    },

    async handle({ url, round }, { signal, logger }) {
      const startedAt = performance.now();
      const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]) });
      await response.body?.cancel();
      const result = { url, round, status: response.status, ms: Math.round(performance.now() - startedAt) };
      onResult(result);
      logger.debug('checked', result);
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    },
  };
}
