import type { Redis } from 'ioredis';
import { parsePause } from '../generating/pause';
import type { Keys } from '../keys';
import type { GeneratorDuty } from './generator';

/** Tells the generators of this instance what is paused now. A commit would find it anyway; an idle one commits nothing. */
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
