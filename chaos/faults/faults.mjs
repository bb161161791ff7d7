// The faults. Each one is injected into a victim and removed again.
//
// kind      its name on the command line
// weight    how often it is drawn among the possible faults
// scope     `instance`, `redis` or `task`: its victim. Two instances can be struck at once. A fault of the task only stops
//           generation: everything else must continue.
// modes     forms of Redis in which it is possible; all if omitted
// length    minimum and maximum milliseconds, drawn log-uniformly; none if omitted
// detail    draws the other choices, once for each injection; `random` can be used any number of times afterwards
// excuses   whether a duration of `ms` can cost a living instance the lock of a message, or kill an instance: then an
//           active message may be handled again
// settleMs  how long after the fault delayed commands can still arrive, if longer than a moment
// inject    injects the fault, and resolves when it is over
import { actions } from '../actions.mjs';
import { connectionFaults } from './connections.mjs';
import { networkFaults } from './network.mjs';
import { processFaults } from './processes.mjs';
import { redisFaults } from './redis.mjs';
import { taskFaults } from './task.mjs';
import { topologyFaults } from './topologies.mjs';

/**
 * Returns the requested faults and actions that are possible in this mode.
 *
 * @param wanted `faults` and `actions` by kind; all of them if omitted
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
