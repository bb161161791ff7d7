/*
 * Presence: which instances are alive.
 *
 * Each instance subscribes to its own channel. When a process dies, the kernel closes its sockets at once, and the
 * channel is left without a subscriber: other instances see it within a round trip, without waiting for a timeout. A
 * machine that vanishes closes nothing, and a paused process keeps its sockets: in those cases the lease, the job locks
 * and the age of the last heartbeat decide.
 */
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import { type Announcement, parseAnnouncement } from './announcements';

export interface PresenceOptions {
  readonly control: Redis;
  /** A connection of the role `subscriber`. */
  readonly subscriber: Redis;
  readonly keys: Pick<Keys, 'presence' | 'leadership'>;
  readonly instance: string;
  /** Another instance, or a command, has announced something. */
  readonly onAnnouncement: (announcement: Announcement) => void;
  readonly logger: Pick<Logger, 'warn'>;
}

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
  await subscriber.subscribe(keys.presence(instance), keys.leadership);
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
