import type { Redis } from 'ioredis';
import type { Keys, SourceKeys } from '../keys';
import { loadScript } from '../redis/scripts';
import { type Pause, parsePause } from './pause';

/** Redis holds invalid data from which no commit can continue until it is repaired. The message says how. */
export class StateError extends Error {
  override name = 'StateError';
}

/** The state from which the next batch continues. */
export interface Position {
  /** Number of messages ever committed. */
  readonly generated: number;
  /** The cursor as JSON; undefined before the first commit. */
  readonly cursorJson: string | undefined;
}

/** What a commit needs to know before its EXEC. */
export interface Snapshot extends Position {
  /** Number of messages waiting to be handled. */
  readonly waiting: number;
  /** Undefined unless generation is paused. */
  readonly pause: Pause | undefined;
  /** False if Redis holds no position, as before the first commit. */
  readonly isStored: boolean;
}

export interface PositionKeys {
  readonly source: Pick<SourceKeys, 'leader' | 'cursor' | 'positions'>;
  readonly keys: Pick<Keys, 'paused' | 'waiting' | 'jobCounter' | 'events'>;
  /** Name of the source; undefined without named sources. */
  readonly name: string | undefined;
}

const READ_SCRIPT = loadScript(__dirname, 'readPosition');

/**
 * Reads the keys that a commit depends on, in one round trip. If `watch` is set, it watches them first, and Redis
 * refuses the next EXEC on this connection if any of them has changed by then.
 *
 * @throws StateError if Redis holds an invalid position
 */
export async function readPosition(
  client: Redis,
  { source: { leader, cursor }, keys: { paused, waiting }, name }: PositionKeys,
  watch: boolean,
): Promise<Snapshot & { leader: { instance: string | null; term: string | null } }> {
  // Two consecutive commands on the same connection. An ioredis pipeline would first create a function for each of
  // BullMQ's scripts, which takes longer than the commands.
  const watching = watch ? client.watch(leader, cursor, paused) : undefined;
  const field = name === undefined ? 'generating' : `generating:${name}`;
  const reading = client.eval(READ_SCRIPT, 4, leader, cursor, paused, waiting, field);
  const [, values] = await Promise.all([watching, reading]);
  type Text = string | null;
  const [instance, term, count, cursorJson, pausedBy, length] = values as [
    ...[Text, Text, Text, Text, Text],
    number,
  ];
  const generated = Number(count ?? 0);
  if (!Number.isSafeInteger(generated) || generated < 0) {
    throw new StateError(
      `${cursor}: field generated is ${JSON.stringify(count)}, expected a whole number; ` +
        `repair it with HSET ${cursor} generated <messages generated so far>`,
    );
  }
  return {
    leader: { instance, term },
    generated,
    cursorJson: cursorJson ?? undefined,
    pause: parsePause(pausedBy ?? undefined),
    isStored: count !== null,
    waiting: length,
  };
}

/** @throws StateError if the cursor is not JSON. */
export function checkCursor({ source, name }: PositionKeys, { cursorJson }: Position): void {
  if (cursorJson === undefined) return;
  try {
    JSON.parse(cursorJson);
  } catch {
    const start = cursorJson.length > 60 ? `${cursorJson.slice(0, 60)}…` : cursorJson;
    const option = name === undefined ? '' : ` --source ${name}`;
    throw new StateError(
      `${source.cursor}: field cursor is ${JSON.stringify(start)}, expected JSON; ` +
        `replace it with "cursor set <json>${option}" or forget it with "cursor reset${option}"`,
    );
  }
}

export function samePosition(a: Position, b: Position): boolean {
  return a.generated === b.generated && a.cursorJson === b.cursorJson;
}
