import type { Job } from 'bullmq';
import type { ErrorDetails } from '../errorLog/details';
import type { FailedMessage } from '../instance/shapes';

export type MessageOutcome = 'completed' | 'failed' | 'retried';

/** Receives the progress of handling. Called for every message, so it must be cheap and never throw. */
export interface HandlingObserver {
  /**
   * The handler has ended, whether it succeeded or failed. Times are in milliseconds.
   *
   * @param waited time from the commit until now; undefined if the message had been attempted or retried before
   */
  handled(took: number, waited: number | undefined): void;
  /** The outcome of the message; a `retried` message will be attempted again. */
  ended(outcome: MessageOutcome): void;
  /** What the handler threw. Called while the span of the message is active. */
  threw?(error: ErrorDetails): void;
  /** The message has failed on its last attempt. */
  failed?(message: FailedMessage): void;
}

/** Computed from the clocks of two machines, so it can be slightly wrong. */
export function waitedMs({
  attemptsStarted,
  stacktrace,
  processedOn = 0,
  timestamp,
}: Job): number | undefined {
  // A message that failed before has a stack, even if a manual retry has reset its attempts.
  const isFirst = attemptsStarted === 1 && (stacktrace ?? []).length === 0;
  return isFirst ? Math.max(0, processedOn - timestamp) : undefined;
}
