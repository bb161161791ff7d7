// What can go wrong, and how it is made to. Each fault is injected into a victim and taken from it again.
//
// kind      its name on the command line
// weight    how often it is drawn, among those that are possible
// scope     `instance`, `redis` or `task`: what it strikes. Two instances can be struck at once. A fault of the task stops
//           generating alone: everything else must go on meanwhile.
// modes     forms of Redis in which it is possible; all if left out
// length    least and most milliseconds, drawn log-uniformly; none if left out
// detail    draws what else there is to choose, once for each injection; `random` is for what follows, as often as it may
// excuses   whether, lasting `ms`, it can cost a living instance the lock of a message, or an instance its life: then a
//           message in hand may be handled again
// settleMs  how long after it what was under way meanwhile may still arrive, if more than a moment
// inject    does it, and resolves when it is over
import { actions } from '../actions.mjs';
import { connectionFaults } from './connections.mjs';
import { networkFaults } from './network.mjs';
import { processFaults } from './processes.mjs';
import { redisFaults } from './redis.mjs';
import { taskFaults } from './task.mjs';
import { topologyFaults } from './topologies.mjs';

/**
 * The faults and actions that are asked for, and possible in this mode.
 *
 * @param wanted `faults` and `actions` by their kinds; all of them where that is left out
 */
export function faultsFor(world, random, wanted) {
  return [
    ...chosen(world, faultsOf(world, random), wanted.faults, '--faults'),
    ...chosen(world, actions(world, random), wanted.actions, '--actions'),
  ];
}

function faultsOf(world, random) {
  const rooms = [processFaults, connectionFaults, redisFaults, taskFaults, topologyFaults, networkFaults];
  return rooms.flatMap((create) => create(world, random));
}

function chosen(world, all, names, option) {
  const possible = all.filter(({ modes }) => modes?.includes(world.mode) ?? true);
  const unknown = names?.filter((name) => !possible.some(({ kind }) => kind === name)) ?? [];
  if (unknown.length > 0) {
    const known = possible.map(({ kind }) => kind).join(', ');
    throw new Error(
      `${option} names ${unknown.join(', ')}, expected some of ${known} with --redis ${world.mode}`,
    );
  }
  return possible.filter(({ kind }) => names?.includes(kind) ?? true);
}
