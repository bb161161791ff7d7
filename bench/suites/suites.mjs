// All sections, in order.
import { atRest } from './atRest.mjs';
import { commands } from './commands.mjs';
import { failover } from './failover.mjs';
import { generating } from './generating.mjs';
import { growth } from './growth.mjs';
import { handling } from './handling.mjs';
import { million } from './million.mjs';
import { shards } from './shards.mjs';
import { start } from './start.mjs';

/** Each receives `{ server, rounds, quick, messages, scale, errorScale, progress }` and returns tables. */
export const SECTIONS = { handling, generating, failover, start, commands, atRest, growth, shards, million };
