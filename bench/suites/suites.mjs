// All sections, in order.
import { atRest } from './atRest.mjs';
import { commands } from './commands.mjs';
import { failover } from './failover.mjs';
import { generating } from './generating.mjs';
import { growth } from './growth.mjs';
import { handling } from './handling.mjs';
import { million } from './million.mjs';
import { shards } from './shards.mjs';
import { sources } from './sources.mjs';
import { start } from './start.mjs';

/** Each gets `{ server, rounds, quick, messages, scale, progress }` and gives tables. */
export const SECTIONS = {
  handling,
  generating,
  failover,
  sources,
  start,
  commands,
  atRest,
  growth,
  shards,
  million,
};
