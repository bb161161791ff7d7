import type { Redis } from 'ioredis';
import { parsePause } from '../generating/pause';
import type { Keys } from '../keys';
import type { GeneratorDuty } from './generator';

/**
 * Tells the generators of this instance what is paused. A commit would detect it anyway, but an idle generator commits
 * nothing.
 */
export async function readPauses(
  control: Redis,
  keys: Pick<Keys, 'paused'>,
  generators: readonly {
    readonly role: { readonly source: string | undefined };
    readonly duty: Pick<GeneratorDuty, 'heardPause'>;
  }[],
): Promise<void> {
  if (generators.length === 0) return;
  const paused = await control.hgetall(keys.paused);
  for (const { role, duty } of generators) {
    duty.heardPause(parsePause(paused['generating'] ?? paused[`generating:${role.source}`]));
  }
}
