/*
 * Pausing. Generation is paused by a field of one hash that every commit watches and reads: once the field exists,
 * Redis refuses each commit that has not seen it. Handling is paused by BullMQ's own flag, whatever client set it; a field
 * of the same hash records who paused it, if it was one of this program's commands. The announcement only makes
 * generators log the pause immediately.
 */
import type { Queue } from 'bullmq';
import type { GroupSource } from '../group/read';
import { type Pause, parsePause } from '../generating/pause';
import { announce } from '../membership/announcements';
import type { Group } from './cursor';

export const PAUSABLE = ['generating', 'handling', 'all'] as const;
export type Pausable = (typeof PAUSABLE)[number];

export interface PauseGroup extends Group {
  readonly queue: Pick<Queue, 'pause' | 'resume' | 'isPaused'>;
}

/** A group as commands and the live view operate it. */
export type OperatedGroup = GroupSource & { readonly queue: Queue };

export interface PauseRequest {
  readonly what: Pausable;
  /** Pauses only the generation of this source; undefined: of all sources. */
  readonly source?: string | undefined;
  /** Who requests it, for status and logs: `user@host`. */
  readonly by: string;
}

/** Once this resolves, nothing is committed until it is resumed. An existing pause stays as it is. */
export async function pauseGroup(group: PauseGroup, { what, source, by }: PauseRequest): Promise<void> {
  const { client, keys, queue } = group;
  const value = JSON.stringify({ by, since: new Date().toISOString() } satisfies Pause);
  if (what !== 'handling') await client.hsetnx(keys.paused, fieldOf(source), value);
  if (what !== 'generating' && !(await queue.isPaused())) {
    await client.hset(keys.paused, 'handling', value);
    await queue.pause();
  }
  await announcePause(group, by, source);
}

/** Resumes, and returns what was resumed: `generating`, `generating:<source>` and `handling`. */
export async function resumeGroup(group: PauseGroup, request: PauseRequest): Promise<string[]> {
  const { client, keys, queue } = group;
  const { what, source, by } = request;
  const resumed: string[] = [];
  if (what !== 'handling') {
    const found = Object.keys(await client.hgetall(keys.paused));
    const fields = source === undefined ? found.filter((name) => name !== 'handling') : [fieldOf(source)];
    if (fields.length > 0 && (await client.hdel(keys.paused, ...fields)) > 0) resumed.push(...fields);
  }
  if (what !== 'generating') {
    if (await queue.isPaused()) resumed.push('handling');
    await queue.resume();
    await client.hdel(keys.paused, 'handling');
  }
  await announcePause(group, by, source);
  return resumed;
}

/** Returns when the generation of all sources was paused, and by whom; undefined if it is not paused. */
export async function pauseOfAllSources({ client, keys }: Group): Promise<Pause | undefined> {
  return parsePause((await client.hget(keys.paused, fieldOf(undefined))) ?? undefined);
}

function fieldOf(source: string | undefined): string {
  return source === undefined ? 'generating' : `generating:${source}`;
}

function announcePause({ client, keys }: Group, who: string, source: string | undefined): Promise<void> {
  return announce(client, keys, {
    event: 'pause',
    who,
    role: source === undefined ? '*' : `generator:${source}`,
  });
}
