/*
 * Announcements: instances and commands send them to all instances, on one channel. Each is only a hint that something
 * in Redis has changed, so a lost announcement costs time and nothing else.
 */
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';

export const ANNOUNCED = [
  /** An instance has started to lead. */
  'elected',
  /** A leader has stepped down; its lease is free. */
  'left',
  /** Somebody asks the leader to hand over its role. */
  'handover',
  /** Somebody has set a cursor: no instance holds the newest term. */
  'moved',
  /** Generation has been paused or resumed. */
  'pause',
] as const;

export interface Announcement {
  readonly event: (typeof ANNOUNCED)[number];
  /** The instance that announces it, or the person behind a command. */
  readonly who: string;
  /** Id of the role that it concerns; `*` for all roles. */
  readonly role: string;
  /** The instance that should lead next. */
  readonly successor?: string | undefined;
}

const NOBODY = '-';

export async function announce(
  client: Redis,
  keys: Pick<Keys, 'leadership'>,
  { event, who, role, successor = NOBODY }: Announcement,
): Promise<void> {
  await client.publish(keys.leadership, [event, who.replaceAll(' ', '_'), role, successor].join(' '));
}

/** Returns undefined for an invalid announcement: any client can publish. */
export function parseAnnouncement(text: string): Announcement | undefined {
  const [name, who, role = 'generator', successor] = text.split(' ');
  const event = ANNOUNCED.find((known) => known === name);
  if (event === undefined || who === undefined) return undefined;
  return { event, who, role, successor: successor === NOBODY ? undefined : successor };
}
