/*
 * Moving a cursor while the group runs.
 *
 * One script writes the position and takes the next term. From then on Redis refuses every commit of the generator that was
 * at work: its EXEC watches the fencing record, exactly as after a failover. So a move needs no agreement with anybody. The
 * announcement that follows only saves time: the generator steps down at once, and whoever leads next reads the new cursor
 * under a term of its own.
 *
 * The expectation of --expect is about JSON values, and Lua's JSON knows neither large numbers nor the difference between
 * {} and []. So the values are compared here, and the script compares the stored text with the one that was compared here.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Redis } from 'ioredis';
import type { Keys, SourceKeys } from '../keys';
import { generatorRole } from '../leadership/role';
import { type PositionEntry, parsePositions, POSITIONS_KEPT, TERMS_KEPT } from '../leadership/term';
import { announce } from '../membership/announcements';
import { loadScript } from '../redis/scripts';

/** Where an operation takes place. */
export interface Group {
  readonly client: Redis;
  readonly keys: Keys;
}

export interface CursorMove {
  /** Name of the source; undefined without named sources. */
  readonly source?: string | undefined;
  /** The new cursor as JSON; undefined: none, so that `generate` starts from the beginning. */
  readonly cursorJson: string | undefined;
  /** Move only if the cursor that is found equals this JSON value; `cursorJson: undefined` expects none. */
  readonly expect?: { readonly cursorJson: string | undefined } | undefined;
  /** Who moves it, for the history: `user@host`. */
  readonly by: string;
}

export type CursorMoved =
  | {
      readonly moved: true;
      /** The term that was taken with it. */
      readonly term: number;
      /** The cursor before as JSON; undefined: none. */
      readonly from: string | undefined;
      /** Messages ever committed: a move does not change that. */
      readonly generated: number;
    }
  /** Another cursor was found than expected. Nothing has changed. */
  | { readonly moved: false; readonly found: string | undefined };

const MOVE_CURSOR = loadScript(__dirname, 'moveCursor');

/** Once this resolves, no batch that started from an older cursor is committed. */
export async function setCursor(group: Group, move: CursorMove): Promise<CursorMoved> {
  const { client, keys } = group;
  const role = generatorRole(keys, move.source);
  for (;;) {
    let stored: string | null | undefined;
    if (move.expect !== undefined) {
      stored = await client.hget(role.keys.cursor, 'cursor');
      if (!sameJson(stored ?? undefined, move.expect.cursorJson))
        return { moved: false, found: stored ?? undefined };
    }
    const [done, ...reply] = await run(group, move, stored);
    if (done === 1) {
      const [term, from, generated] = reply as [number, string | null, number];
      await announce(client, keys, { event: 'moved', who: move.by, role: role.id });
      return { moved: true, term, from: from ?? undefined, generated };
    }
    // A commit came in between. The next turn compares with what it has left.
  }
}

/** @param stored the text that must be found, null for none, undefined for any */
function run({ client, keys }: Group, move: CursorMove, stored: string | null | undefined) {
  const { id, keys: own } = generatorRole(keys, move.source);
  const expected = stored === undefined ? '' : stored === null ? '-' : `=${stored}`;
  return client.eval(
    MOVE_CURSOR,
    ...[6, own.leader, own.cursor, keys.roles, own.ended, own.terms, own.positions],
    ...[
      move.by,
      new Date().toISOString(),
      move.cursorJson === undefined ? 'reset' : 'set',
      move.cursorJson ?? '',
    ],
    ...[expected, id, TERMS_KEPT, POSITIONS_KEPT],
  ) as Promise<[0 | 1, ...unknown[]]>;
}

/** The newest first: the position at the start of each term, and those that were replaced by hand. */
export async function readPositions(
  client: Redis,
  keys: Pick<SourceKeys, 'positions'>,
): Promise<PositionEntry[]> {
  return parsePositions(await client.lrange(keys.positions, 0, -1));
}

/** Whether two texts hold the same JSON value. A text that is not JSON equals none. */
export function sameJson(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  try {
    return isDeepStrictEqual(JSON.parse(a), JSON.parse(b));
  } catch {
    return false;
  }
}
