/*
 * The supervisor runs every activity that must always run.
 *
 * An activity is a loop that runs until its signal aborts, and calls `progress` each time it has done something. If it
 * ends by itself or throws, it is restarted after a pause that grows with each failure in a row. If it makes no
 * progress for too long, it is abandoned and restarted: its signal aborts, and nothing waits for it to end. The time for
 * which Redis could not be reached, the event loop was blocked or the process was stopped does not count. Each further
 * run in a row has twice as long, because on a busy machine, or far from Redis, the start alone can exceed the limit.
 * Nothing here waits without a deadline.
 *
 * Readiness, metrics and status are computed from the time of the last progress, never from flags that something would
 * have to reset.
 */
import { toError } from '../errors';
import type { Logger } from '../logging/logger';
import { sleep, withDeadline } from '../time';

/** What an activity receives. */
export interface Activity {
  /** Aborts when this run must end. */
  readonly signal: AbortSignal;
  /** Reports that something was done, such as an answer or a check. Costs almost nothing. */
  readonly progress: () => void;
}

export interface ActivityOptions {
  /** Displayed name, such as `error recorder`. */
  readonly name: string;
  readonly run: (activity: Activity) => Promise<void>;
  /** How long it can go without progress before it counts as stalled, in milliseconds. Default 4000. */
  readonly stallAfterMs?: number;
  /** How long it can go without progress before it is restarted, in milliseconds. Default: `stallAfterMs`. */
  readonly restartAfterMs?: number;
  /** The activity ends when it aborts. Default: when the supervisor stops. */
  readonly signal?: AbortSignal;
}

export interface StalledActivity {
  readonly name: string;
  /** Milliseconds since its last progress. */
  readonly forMs: number;
}

export interface SupervisorOptions {
  /** Whether Redis can be reached. Without Redis nothing can make progress, so nothing is restarted for that. */
  readonly canProgress: () => boolean;
  readonly logger: Logger;
}

const RESTART_PAUSE_MS = { min: 100, max: 2000 };
const STALL_AFTER_MS = 4000;
const STALL_POLL_MS = 500;
/** How often, at most, the time that a run has to make progress is doubled. */
const MAX_DOUBLINGS = 3;
/** How long activities can take to end, in milliseconds; after that they are abandoned. */
const END_TIMEOUT_MS = 1500;

interface Supervised {
  readonly name: string;
  readonly stallAfterMs: number;
  readonly restartAfterMs: number;
  progressAt: number;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  readonly #activities = new Map<Supervised, Promise<void>>();
  /** Since when Redis can be reached, on the monotonic clock; the time before does not count as stalled. */
  #reachableSince: number | undefined = performance.now();

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  start({ name, run, stallAfterMs = STALL_AFTER_MS, restartAfterMs, signal }: ActivityOptions): void {
    const activity: Supervised = {
      name,
      stallAfterMs,
      restartAfterMs: restartAfterMs ?? stallAfterMs,
      progressAt: performance.now(),
    };
    const stopping = this.#stopping.signal;
    const over = signal === undefined ? stopping : AbortSignal.any([stopping, signal]);
    const supervising = this.#supervise(activity, run, over).finally(() => this.#activities.delete(activity));
    this.#activities.set(activity, supervising);
  }

  /** Activities that have made no progress for too long although they could. */
  get stalled(): StalledActivity[] {
    return [...this.#activities.keys()].flatMap((activity) => {
      const forMs = this.#idleMs(activity);
      return forMs > activity.stallAfterMs ? [{ name: activity.name, forMs }] : [];
    });
  }

  /** Names of the activities that should run now. */
  get names(): string[] {
    // An activity that is ending can have a successor with the same name.
    return [...new Set([...this.#activities.keys()].map(({ name }) => name))];
  }

  /** Ends all activities, and abandons those that do not end in time. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.settled();
  }

  /** Resolves when the activities whose signals have aborted have ended or have been abandoned. */
  async settled(): Promise<void> {
    const ending = Promise.all(this.#activities.values());
    await withDeadline(ending, END_TIMEOUT_MS, 'ending the background activities').catch((error: unknown) =>
      this.#options.logger.debug('not all background activities have ended', { error: toError(error) }),
    );
  }

  async #supervise(activity: Supervised, run: ActivityOptions['run'], over: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    for (let failures = 0, stalls = 0; !over.aborted;) {
      const startedAt = performance.now();
      const ending = new AbortController();
      const signal = AbortSignal.any([over, ending.signal]);
      const progress = () => {
        // Ignore the progress of an abandoned run.
        if (!ending.signal.aborted) activity.progressAt = performance.now();
      };
      const running = Promise.resolve()
        .then(() => run({ signal, progress }))
        .then(
          () => undefined,
          (error: unknown) => toError(error),
        );
      const outcome = await Promise.race([running, this.#untilStalled(activity, signal, stalls)]);
      ending.abort();
      if (over.aborted) {
        await Promise.race([running, sleep(END_TIMEOUT_MS)]);
        return;
      }
      const stalled = outcome === 'stalled';
      const message = stalled
        ? 'a background activity makes no progress: restarting it'
        : 'a background activity ended: restarting it';
      const fields = { activity: activity.name, ...(outcome instanceof Error && { error: outcome }) };
      if (stalled) logger.warn(message, fields);
      else logger.debug(message, fields);
      failures = activity.progressAt > startedAt ? 0 : failures + 1;
      stalls = failures > 0 && stalled ? stalls + 1 : 0;
      await sleep(Math.min(RESTART_PAUSE_MS.min * 2 ** failures, RESTART_PAUSE_MS.max), over);
    }
  }

  async #untilStalled(
    activity: Supervised,
    signal: AbortSignal,
    stalls: number,
  ): Promise<'stalled' | undefined> {
    const startedAt = performance.now();
    const limitMs = activity.restartAfterMs * 2 ** Math.min(stalls, MAX_DOUBLINGS);
    while (!signal.aborted) {
      const pollAt = performance.now() + STALL_POLL_MS;
      await sleep(STALL_POLL_MS, signal);
      const now = performance.now();
      // The event loop was blocked, or the process stopped, for as long as the poll is late.
      activity.progressAt = Math.min(activity.progressAt + Math.max(0, now - pollAt), now);
      const sinceStart = now - startedAt;
      if (Math.min(this.#idleMs(activity), sinceStart) > limitMs) return 'stalled';
    }
    return undefined;
  }

  /** How long it has made no progress although it could have. */
  #idleMs({ progressAt }: Supervised): number {
    const now = performance.now();
    if (!this.#options.canProgress()) this.#reachableSince = undefined;
    else this.#reachableSince ??= now;
    return this.#reachableSince === undefined ? 0 : now - Math.max(progressAt, this.#reachableSince);
  }
}
