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

/** A reconciliation is followed by a pause of this many times its length. */
const PAUSE_FACTOR = 10;

/**
 * Finds out whether failures are missing in the error log, by counting: the number by which the failed jobs outnumber the
 * records stays the same while every failure is recorded. It need not be zero, because people write records by hand.
 * Whenever it is another one than after the last reconciliation, the log is reconciled.
 */
export class Auditor {
  readonly #options: AuditorOptions;
  /** Undefined: the log has yet to be reconciled. */
  #expected: number | undefined;
  #isOwed: boolean;
  #reconciling = false;
  #notBefore = 0;

  /** @param expected the number that the last auditor has stored; undefined if it is of no use */
  constructor(options: AuditorOptions, expected: number | undefined) {
    this.#options = options;
    this.#expected = expected;
    this.#isOwed = expected === undefined;
  }

  /** Whether failures may be missing. A reconciliation is owed until one has ended well. */
  get isOwed(): boolean {
    return this.#isOwed;
  }

  /**
   * Audits, and reconciles in the background if need be.
   *
   * @param position id of the last event that was dealt with
   * @param progress called while it reconciles
   * @returns false if the stream does not have that event anymore, nor a later one
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
      // Unknown while too much is under way: then it is still owed.
      if (signal.aborted || difference === undefined) return;
      await control.hset(keys.recorder, 'difference', difference);
      this.#expected = difference;
      this.#isOwed = false;
    } catch (error) {
      logger.debug('reconciling the error log was interrupted', { error: toError(error) });
    } finally {
      this.#reconciling = false;
      const now = performance.now();
      this.#notBefore = now + PAUSE_FACTOR * (now - startedAt);
    }
  }
}
