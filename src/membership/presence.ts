/*
 * Presence: who is alive.
 *
 * Each instance subscribes to a channel of its own. When a process dies, the kernel closes its sockets at once, and the
 * channel is left without a subscriber: the end of a process shows within a round trip, with no time-out to wait for.
 * A machine that vanishes closes nothing, and a process that is paused keeps its sockets: for such, the lease, the job
 * locks and the age of the last heartbeat remain.
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

/** Resolves once this instance can be seen to be alive, and hears what is announced. */
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

/** How many connections are subscribed to the channel: each instance has one to the channel of announcements. */
export async function subscribersOf(client: Redis, channel: string): Promise<number> {
  const [, count] = (await client.pubsub('NUMSUB', channel)) as [string, string | number];
  return Number(count);
}

/** Those of the instances whose processes are connected now. */
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
