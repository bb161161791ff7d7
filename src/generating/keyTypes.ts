import type { Redis } from 'ioredis';
import { type PositionKeys, StateError } from './position';

/** @throws StateError naming the first key of a commit that has the wrong type */
export async function checkTypes(client: Redis, { source, keys }: PositionKeys): Promise<void> {
  const expected = [
    [source.leader, 'hash'],
    [source.cursor, 'hash'],
    [keys.paused, 'hash'],
    [keys.jobCounter, 'string'],
    [keys.waiting, 'list'],
    [keys.events, 'stream'],
  ] as const;
  const found = await Promise.all(expected.map(([key]) => client.type(key)));
  expected.forEach(([key, type], index) => {
    if (found[index] === type || found[index] === 'none') return;
    throw new StateError(
      `${key} is a ${found[index]}, expected a ${type}: nothing can be generated; rename or delete that key`,
    );
  });
}
