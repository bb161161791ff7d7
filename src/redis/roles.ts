import type { RedisOptions } from 'ioredis';

/**
 * The purpose of a connection determines how it behaves when Redis is slow or unreachable:
 *
 * - `queue`: BullMQ's. Waits for Redis indefinitely and resends commands that were not answered, as BullMQ expects. A
 *   resent command of a worker is harmless, because the lock token of its job refuses the second one.
 * - `control`: everything else. Fails at once while Redis is unreachable, and never resends.
 * - `lease`: like `control`, with a timeout well within the lease. A renewal that was queued or resent would take effect
 *   after its leader has been deposed.
 * - `subscriber`: receives published messages. presence.ts renews its subscription: if ioredis did, a refusal would be an
 *   unhandled rejection.
 * - `commit`: one socket, one life. A WATCH belongs to its socket, so this connection never reconnects: an EXEC sent on a
 *   new socket would not be fenced. A MULTI whose reply was lost is never resent either: it might have been executed.
 *
 * A connection on which a command stays unanswered for `socketTimeout` is closed and, except for `commit`, reopened:
 * after a lost NAT entry, for example, bytes vanish while the socket looks healthy. See stalledSocket.ts.
 */
export type Role = 'queue' | 'control' | 'lease' | 'subscriber' | 'commit';

/** ioredis's options, except the one whose type depends on it. */
export type Settings = Omit<RedisOptions, 'replyMapping'>;

const FAIL_FAST: Settings = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
};

/** Longest time that a command can block on a connection of the role `queue`, in milliseconds. */
export const MAX_BLOCKING_MS = 4000;

export const SETTINGS: Readonly<Record<Role, Settings>> = {
  // The answer to a blocking command is late by design, so the limit is above MAX_BLOCKING_MS.
  queue: { maxRetriesPerRequest: null, socketTimeout: MAX_BLOCKING_MS + 2000 },
  control: { ...FAIL_FAST, commandTimeout: 5000, socketTimeout: 5000 },
  lease: { ...FAIL_FAST, socketTimeout: 2500 },
  subscriber: { maxRetriesPerRequest: null, autoResubscribe: false, socketTimeout: 2500 },
  commit: { ...FAIL_FAST, retryStrategy: () => null, socketTimeout: 5000 },
};

/** For users without the right to send INFO. BullMQ reads the second option. */
export const WITHOUT_INFO: Settings & { skipVersionCheck: true } = {
  enableReadyCheck: false,
  skipVersionCheck: true,
};
