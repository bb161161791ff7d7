import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import type { ErrorLog } from './errorLog';
import { compareIds } from './pendingEvents';

export interface AuditorOptions {
  readonly control: Redis;
  readonly keys: Pick<Keys, 'recorder'>;
  readonly errorLog: Pick<ErrorLog, 'audit' | 'reconcile'>;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** The pause after a reconciliation is this many times its duration, up to the maximum in milliseconds. */
const PAUSE_FACTOR = 10;
const MAX_PAUSE_MS = 5000;

/**
 * Detects failures that are missing in the error log, by counting: the number of failed jobs less the number of records
 * stays the same while every failure is recorded. It need not be zero, because people can add records manually. If it
 * differs from the number after the last reconciliation, the log is reconciled.
 */
export class Auditor {
  readonly #options: AuditorOptions;
  /** Undefined: the log has yet to be reconciled. */
  #expected: number | undefined;
  #isOwed: boolean;
  #reconciling = false;
  #notBefore = 0;

  /** @param expected the number that the last auditor stored; undefined if it is not usable */
  constructor(options: AuditorOptions, expected: number | undefined) {
    this.#options = options;
    this.#expected = expected;
    this.#isOwed = expected === undefined;
  }

  /** Whether failures might be missing. A reconciliation is due until one has succeeded. */
  get isOwed(): boolean {
    return this.#isOwed;
  }

  /**
   * Audits the log, and reconciles it in the background if necessary.
   *
   * @param position id of the last processed event
   * @param progress called while it reconciles
   * @returns false if the stream no longer has that event or any later one
   */
  async audit(position: string, progress: () => void): Promise<boolean> {
    if (this.#reconciling) return true;
    const { lastEvent, difference } = await this.#options.errorLog.audit(position);
    if (compareIds(lastEvent, position) < 0) return false;
    if (difference !== undefined && difference !== this.#expected) this.#isOwed = true;
    if (this.#isOwed && performance.now() >= this.#notBefore) void this.#reconcile(position, progress);
    return true;
  }

  async #reconcile(position: string, progress: () => void): Promise<void> {
    const { control, keys, errorLog, signal, logger } = this.#options;
    const startedAt = performance.now();
    this.#reconciling = true;
    try {
      await errorLog.reconcile(signal, progress);
      const { difference } = await errorLog.audit(position);
      // Unknown while too many events are pending; then the reconciliation is still due.
      if (signal.aborted || difference === undefined) return;
      await control.hset(keys.recorder, 'difference', difference);
      this.#expected = difference;
      this.#isOwed = false;
    } catch (error) {
      logger.debug('reconciling the error log was interrupted', { error: toError(error) });
    } finally {
      this.#reconciling = false;
      const now = performance.now();
      this.#notBefore = now + Math.min(PAUSE_FACTOR * (now - startedAt), MAX_PAUSE_MS);
    }
  }
}
