import type { Job } from 'bullmq';
import type { ErrorDetails } from '../errorLog/details';
import type { FailedMessage } from '../instance/shapes';

export type MessageOutcome = 'completed' | 'failed' | 'retried';

/** Told how handling goes. Called for every message: it costs next to nothing, and never throws. */
export interface HandlingObserver {
  /**
   * The handler has ended, one way or the other. In milliseconds.
   *
   * @param waited from the commit until now; undefined for what had been tried or retried before
   */
  handled(took: number, waited: number | undefined): void;
  /** What became of the message; `retried` will be tried again. */
  ended(outcome: MessageOutcome): void;
  /** What the handler threw. Called while the span of the message is active. */
  threw?(error: ErrorDetails): void;
  /** The message has failed in its last attempt. */
  failed?(message: FailedMessage): void;
}

/** Measured with the clocks of two machines, so it can be slightly wrong. */
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
