/*
 * A position that somebody has deleted by hand, as with redis-cli, while the group runs. Generating must not start from the
 * beginning then: that would repeat every message. It waits until a person says where to continue.
 *
 * A Redis that loses data, in a crash or a failover, loses the newest writes first, and closes its connections. What it
 * has kept is consistent, and generating continues from there without asking. So a position has been deleted by hand
 *
 * - if it was there on this very connection and is not any more (Committer), or if the term that a living connection has
 *   seen is not there any more (takeTerm.lua); or
 * - if it is missing although the history of positions, which is written before, says that there was one.
 *
 * Whoever finds it so writes it into that history. The mark outlives the generator, and moving the cursor ends it.
 */
import type { Redis } from 'ioredis';
import { parsePositions, type PositionEntry, POSITIONS_KEPT } from '../leadership/term';
import { type Position, type PositionKeys, StateError } from './position';

/** Whether the history says that there was a position, or that it has been deleted. Ask only where there is none. */
export async function wasDeleted(client: Redis, { source }: PositionKeys): Promise<boolean> {
  const [newest] = parsePositions(await client.lrange(source.positions, 0, 0));
  return newest !== undefined && (newest.deleted === true || newest.generated > 0);
}

/** Writes into the history that the position has been deleted. */
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

/** @param known what the position was, as far as that is known */
export function deletedError({ source, name }: PositionKeys, known?: Position): StateError {
  const option = name === undefined ? '' : ` --source ${name}`;
  const was = known?.cursorJson === undefined ? '' : ` (it was ${shorten(known.cursorJson)})`;
  return new StateError(
    `${source.cursor} was deleted while the group runs${was}: nothing is generated until somebody says where to continue, ` +
      `with "cursor set <json>${option}" or, from the beginning, "cursor reset${option}"`,
  );
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
