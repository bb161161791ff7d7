/*
 * Presence: which instances are alive.
 *
 * Each instance subscribes to its own channel. When a process dies, the kernel closes its sockets at once, and the
 * channel is left without a subscriber: other instances see it within a round trip, without waiting for a timeout. A
 * machine that vanishes closes nothing, and a paused process keeps its sockets: in those cases the lease, the job locks
 * and the age of the last heartbeat decide.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import { sleep } from '../time';
import { type Announcement, parseAnnouncement } from './announcements';

export interface PresenceOptions {
  readonly control: Redis;
  /** A connection of the role `subscriber`. */
  readonly subscriber: Redis;
  readonly keys: Pick<Keys, 'presence' | 'leadership'>;
  readonly instance: string;
  /** Another instance, or a command, has announced something. */
  readonly onAnnouncement: (announcement: Announcement) => void;
  /** Aborts when the instance stops. */
  readonly stopped: AbortSignal;
  readonly logger: Pick<Logger, 'warn'>;
}

/** Pause before a refused subscription is repeated, in milliseconds. */
const RETRY_MS = 500;

const REFUSED =
  'Redis refused the subscription: the other instances cannot see this one until Redis accepts it';

/** Resolves once other instances can see that this one is alive, and this one receives announcements. */
export async function showPresence(options: PresenceOptions): Promise<void> {
  const { control, subscriber, keys, instance, onAnnouncement, logger } = options;
  if ((await presentAmong(control, keys, [instance])).has(instance)) {
    logger.warn('another living instance has this name: INSTANCE_NAME must be unique');
  }
  subscriber.on('message', (channel: string, text: string) => {
    const announcement = channel === keys.leadership ? parseAnnouncement(text) : undefined;
    if (announcement !== undefined && announcement.who !== instance) onAnnouncement(announcement);
  });
  await subscribe(options);
  let subscribing: Promise<void> | undefined;
  subscriber.on('ready', () => {
    subscribing ??= resubscribe(options).finally(() => (subscribing = undefined));
  });
}

function subscribe({ subscriber, keys, instance }: PresenceOptions): Promise<unknown> {
  return subscriber.subscribe(keys.presence(instance), keys.leadership);
}

/**
 * Subscribes again after a reconnect. A refusal need not be final (a script is running, rights are missing), so this
 * repeats until Redis accepts or the connection is lost. An unanswered command is sent again on the next connection.
 */
async function resubscribe(options: PresenceOptions): Promise<void> {
  const { subscriber, stopped, logger } = options;
  for (let refusals = 0; subscriber.status === 'ready' && !stopped.aborted; refusals++) {
    try {
      await subscribe(options);
      return;
    } catch (thrown) {
      if (refusals === 0 && subscriber.status === 'ready') logger.warn(REFUSED, { error: toError(thrown) });
      await sleep(RETRY_MS, stopped);
    }
  }
}

/** Number of connections subscribed to the channel. Each instance has one subscription to the announcement channel. */
export async function subscribersOf(client: Redis, channel: string): Promise<number> {
  const [, count] = (await client.pubsub('NUMSUB', channel)) as [string, string | number];
  return Number(count);
}

/** Returns the instances whose processes are connected now. */
export async function presentAmong(
  client: Redis,
  keys: Pick<Keys, 'presence'>,
  instances: readonly string[],
): Promise<Set<string>> {
  if (instances.length === 0) return new Set();
  const channels = instances.map((instance) => keys.presence(instance));
  const reply = (await client.pubsub('NUMSUB', ...channels)) as (string | number)[];
  return new Set(instances.filter((_, index) => Number(reply[index * 2 + 1]) > 0));
}
