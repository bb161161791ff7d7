/*
 * A position that was deleted manually, for example with redis-cli, while the group runs. Generation must not restart
 * from the beginning then, because that would repeat every message. It waits until an operator says where to continue.
 *
 * A Redis that loses data, in a crash or a failover, loses the newest writes first, and closes its connections. What it
 * has kept is consistent, and generation continues from there automatically. So a position has been deleted manually
 *
 * - if it was present on this very connection and is missing now (Committer), or if the term that a living connection
 *   has seen is missing (takeTerm.lua); or
 * - if it is missing although the history of positions, which is written first, contains one.
 *
 * The instance that detects this records it in the history. The mark survives the generator; moving the cursor clears
 * it.
 */
import type { Redis } from 'ioredis';
import { parsePositions, type PositionEntry, POSITIONS_KEPT } from '../leadership/term';
import { type Position, type PositionKeys, StateError } from './position';

/** Whether the history says that a position existed or was deleted. Call it only if there is no position. */
export async function wasDeleted(client: Redis, { source }: PositionKeys): Promise<boolean> {
  const [newest] = parsePositions(await client.lrange(source.positions, 0, 0));
  return newest !== undefined && (newest.deleted === true || newest.generated > 0);
}

/** Records in the history that the position has been deleted. */
export async function markDeleted(
  client: Redis,
  { source }: PositionKeys,
  { term, who, known }: { term: number; who: string; known: Position },
): Promise<void> {
  const [seconds] = await client.time();
  const { generated, cursorJson } = known;
  const entry: PositionEntry = {
    ...{ event: 'deleted', term, who, at: Number(seconds) * 1000, generated, deleted: true },
    ...(cursorJson !== undefined && { from: cursorJson }),
  };
  await client.lpush(source.positions, JSON.stringify(entry));
  await client.ltrim(source.positions, 0, POSITIONS_KEPT - 1);
}

/** @param known the deleted position, as far as it is known */
export function deletedError({ source, name }: PositionKeys, known?: Position): StateError {
  const option = name === undefined ? '' : ` --source ${name}`;
  const was = known?.cursorJson === undefined ? '' : ` (it was ${shorten(known.cursorJson)})`;
  return new StateError(
    `${source.cursor} was deleted while the group runs${was}: generation is stopped; set where to continue ` +
      `with "cursor set <json>${option}" or, from the beginning, "cursor reset${option}"`,
  );
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
