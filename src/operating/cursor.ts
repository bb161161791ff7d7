/*
 * Moves a cursor while the group runs.
 *
 * One script writes the position and takes the next term. From then on Redis refuses every commit of the generator that
 * was running: its EXEC watches the fencing record, exactly as after a failover. So a move needs no coordination. The
 * announcement that follows only saves time: the generator steps down immediately, and the next leader reads the new
 * cursor under its own term.
 *
 * --expect compares JSON values, but Lua's JSON supports neither large numbers nor the difference between {} and []. So
 * the values are compared here, and the script checks that the stored text is still the one that was compared.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Redis } from 'ioredis';
import type { Keys, SourceKeys } from '../keys';
import { generatorRole } from '../leadership/role';
import { type PositionEntry, parsePositions, POSITIONS_KEPT, TERMS_KEPT } from '../leadership/term';
import { announce } from '../membership/announcements';
import { loadScript } from '../redis/scripts';

/** The group that an operation applies to. */
export interface Group {
  readonly client: Redis;
  readonly keys: Keys;
}

export interface CursorMove {
  /** Name of the source; undefined without named sources. */
  readonly source?: string | undefined;
  /** The new cursor as JSON; undefined: no cursor, so `generate` starts from the beginning. */
  readonly cursorJson: string | undefined;
  /** Move only if the current cursor equals this JSON value; `cursorJson: undefined` expects no cursor. */
  readonly expect?: { readonly cursorJson: string | undefined } | undefined;
  /** Who moves it, recorded in the history: `user@host`. */
  readonly by: string;
}

export type CursorMoved =
  | {
      readonly moved: true;
      /** The term that the move took. */
      readonly term: number;
      /** The previous cursor as JSON; undefined if there was none. */
      readonly from: string | undefined;
      /** Number of messages ever committed; a move does not change it. */
      readonly generated: number;
    }
  /** The current cursor is not the expected one. Nothing has changed. */
  | { readonly moved: false; readonly found: string | undefined };

const MOVE_CURSOR = loadScript(__dirname, 'moveCursor');

/** Moves the cursor. Once it resolves, no batch that started from an older cursor can be committed. */
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
    // A commit came in between. The next iteration compares with its cursor.
  }
}

/** @param stored the stored text to expect, null for none, undefined for any */
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

/** Returns, newest first, the position at the start of each term, and the positions that were moved manually. */
export async function readPositions(
  client: Redis,
  keys: Pick<SourceKeys, 'positions'>,
): Promise<PositionEntry[]> {
  return parsePositions(await client.lrange(keys.positions, 0, -1));
}

/** Whether two texts hold the same JSON value. A text that is not JSON equals no other. */
export function sameJson(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  try {
    return isDeepStrictEqual(JSON.parse(a), JSON.parse(b));
  } catch {
    return false;
  }
}
