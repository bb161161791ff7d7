/*
 * Announcements: what instances and commands tell everybody at once, on one channel. Each is a hint that something is
 * worth a look; what they tell of is in Redis, so that a lost announcement costs time and nothing else.
 */
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';

export const ANNOUNCED = [
  /** An instance leads. */
  'elected',
  /** A leader has stepped down; its lease is free. */
  'left',
  /** Somebody asks the leader to hand its role over. */
  'handover',
  /** Somebody has set a cursor: the newest term is nobody's. */
  'moved',
  /** Generating has been paused or resumed. */
  'pause',
] as const;

export interface Announcement {
  readonly event: (typeof ANNOUNCED)[number];
  /** The instance that announces it, or the person behind a command. */
  readonly who: string;
  /** Id of the role that it is about; `*` for all. */
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

/** Undefined for what is no announcement: anybody can publish. */
export function parseAnnouncement(text: string): Announcement | undefined {
  const [name, who, role = 'generator', successor] = text.split(' ');
  const event = ANNOUNCED.find((known) => known === name);
  if (event === undefined || who === undefined) return undefined;
  return { event, who, role, successor: successor === NOBODY ? undefined : successor };
}
