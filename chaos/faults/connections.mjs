// Faults of the connections between one instance and Redis: all of them, or those of one role.
import { setTimeout as sleep } from 'node:timers/promises';
import { ROLES } from '../../testkit/connectionRoles.cjs';
import { ANY_LENGTH, looksDead, outlastsLock } from './lengths.mjs';

const DIRECTIONS = ['requests', 'responses', 'both'];

export function connectionFaults() {
  /** A fault of a single role costs a message its lock only if the role renews it. */
  const ofRole = { detail: (draw) => ({ role: draw.oneOf(ROLES), direction: draw.oneOf(DIRECTIONS) }) };
  const roleExcuses = (ms, { role }) => role === 'queue' && outlastsLock(ms);
  const common = { scope: 'instance', modes: ['single'], length: ANY_LENGTH };
  return [
    {
      ...common,
      // All connections break, and new ones are refused.
      kind: 'cut',
      weight: 3,
      excuses: (ms) => looksDead(ms) || outlastsLock(ms),
      async inject({ proxy }, ms) {
        proxy.refuse();
        proxy.cut();
        await sleep(ms);
        proxy.heal();
      },
    },
    {
      ...common,
      // All connections break, and new ones work.
      kind: 'reconnect',
      weight: 2,
      length: undefined,
      excuses: () => false,
      inject: async ({ proxy }) => proxy.cut(),
    },
    {
      ...common,
      // Bytes of all connections, including new ones, vanish in one direction or both.
      kind: 'partition',
      weight: 3,
      excuses: outlastsLock,
      detail: (draw) => draw.oneOf(DIRECTIONS),
      async inject({ proxy }, ms, direction) {
        proxy.partition(direction);
        await sleep(ms);
        proxy.heal();
      },
    },
    {
      ...common,
      // All its requests and answers are delayed.
      kind: 'delay',
      weight: 2,
      length: [200, 4000],
      excuses: () => false,
      detail: (draw) => draw.whole(20, 1000),
      async inject({ proxy }, ms, lateMs) {
        proxy.delay(lateMs);
        await sleep(ms);
        proxy.delay(0);
      },
    },
    {
      ...common,
      ...ofRole,
      kind: 'cutRole',
      weight: 2,
      length: undefined,
      excuses: () => false,
      inject: async ({ proxy }, _, { role }) => proxy.cut(role),
    },
    {
      ...common,
      ...ofRole,
      kind: 'refuseRole',
      weight: 4,
      excuses: roleExcuses,
      async inject({ proxy }, ms, { role }) {
        proxy.refuse(role);
        proxy.cut(role);
        await sleep(ms);
        proxy.heal();
      },
    },
    {
      ...common,
      ...ofRole,
      // A lost NAT entry: existing connections lead nowhere, new ones work.
      kind: 'stallRole',
      weight: 6,
      excuses: roleExcuses,
      async inject({ proxy }, ms, { role, direction }) {
        proxy.blackhole(direction, role);
        await sleep(ms);
        proxy.heal();
      },
    },
  ];
}
