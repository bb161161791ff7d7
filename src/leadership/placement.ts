/*
 * Placement: which instance should lead which role, without a coordinator.
 *
 * Every instance that leads something periodically reads the same two things: which instances are alive, and which
 * roles they lead. From these it computes the same plan as all others, and carries out the part of the plan that
 * concerns its own roles. Views can differ for a moment: that costs a hand-over, never a message.
 *
 * The plan: sources are spread with as few moves as possible so that no eligible instance leads over one source more
 * than another; and the keeper is not an instance that generates while another instance does not.
 */
import type { Role } from './role';

/** A living instance, as placement sees it. */
export interface Member {
  readonly instance: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly generates: boolean;
  /** Sources that it campaigns for; undefined if the task has no named sources. */
  readonly sources: readonly string[] | undefined;
  /** Roles that it leads. */
  readonly roles: readonly Pick<Role, 'id' | 'kind' | 'source'>[];
}

export interface Move {
  readonly role: string;
  readonly from: string;
  readonly to: string;
}

type PlacedRole = Member['roles'][number];

/** Whether this instance can lead the role. */
export function isEligible({ generates, sources }: Member, role: PlacedRole): boolean {
  if (role.kind === 'keeper') return true;
  if (!generates) return false;
  return role.source === undefined ? sources === undefined : sources?.includes(role.source) === true;
}

/**
 * Chooses a successor of `leaving` for each of these roles, by the id of the role: the instance that leads the fewest
 * roles, and among equals the one that was started last. A role that no instance can lead is left out.
 */
export function chooseSuccessors(
  roles: readonly PlacedRole[],
  leaving: string,
  members: readonly Member[],
): Map<string, string> {
  const taken = new Map<string, number>();
  const generators = (member: Member) => generatorsOf(member).length + (taken.get(member.instance) ?? 0);
  const load = (member: Member, role: PlacedRole) => {
    if (role.kind === 'keeper') return Math.min(generators(member), 1);
    return role.source === undefined ? 0 : generators(member);
  };
  const successors = new Map<string, string>();
  // Place generators first: the keeper should preferably be an instance that does not generate.
  for (const role of [...roles].sort((a, b) => compare(a.id, b.id))) {
    const best = members
      .filter((member) => member.instance !== leaving && isEligible(member, role))
      .sort(
        (a, b) =>
          load(a, role) - load(b, role) ||
          compare(b.startedAt, a.startedAt) ||
          compare(a.instance, b.instance),
      )
      .at(0);
    if (best === undefined) continue;
    successors.set(role.id, best.instance);
    if (role.kind === 'generator') taken.set(best.instance, (taken.get(best.instance) ?? 0) + 1);
  }
  return successors;
}

/** Returns the moves that put every role where it should be. Every instance with the same view gets the same moves. */
export function planMoves(members: readonly Member[]): Move[] {
  return [...planKeeper(members), ...planSources(members)];
}

function planKeeper(members: readonly Member[]): Move[] {
  const keeper = members.find(({ roles }) => roles.some(({ kind }) => kind === 'keeper'));
  if (keeper === undefined || generatorsOf(keeper).length === 0) return [];
  const idle = members.filter((member) => generatorsOf(member).length === 0);
  const to = idle.sort((a, b) => compare(b.startedAt, a.startedAt) || compare(a.instance, b.instance)).at(0);
  return to === undefined ? [] : [{ role: 'keeper', from: keeper.instance, to: to.instance }];
}

function planSources(members: readonly Member[]): Move[] {
  const led = new Map(
    members.filter(({ generates }) => generates).map((member) => [member.instance, generatorsOf(member)]),
  );
  const byName = [...members]
    .sort((a, b) => compare(a.instance, b.instance))
    .filter(({ instance }) => led.has(instance));
  const count = ({ instance }: Member) => led.get(instance)!.length;
  const moves: Move[] = [];
  for (;;) {
    const move = nextMove(byName, count, led);
    if (move === undefined) return moves;
    moves.push({ role: move.role.id, from: move.from.instance, to: move.to.instance });
    led.get(move.from.instance)!.splice(led.get(move.from.instance)!.indexOf(move.role), 1);
    led.get(move.to.instance)!.push(move.role);
  }
}

/** Moves a role from the fullest to the emptiest instance, as long as they differ by two or more. */
function nextMove(
  members: readonly Member[],
  count: (member: Member) => number,
  led: Map<string, PlacedRole[]>,
) {
  const fullest = [...members].sort((a, b) => count(b) - count(a));
  const emptiest = [...members].sort((a, b) => count(a) - count(b));
  for (const from of fullest) {
    for (const to of emptiest) {
      if (count(from) - count(to) < 2) break;
      const role = led.get(from.instance)!.find((each) => isEligible(to, each));
      if (role !== undefined) return { from, to, role };
    }
  }
  return undefined;
}

/** Returns the generators in an order that is the same on every instance. */
function generatorsOf({ roles }: Member): PlacedRole[] {
  return roles.filter(({ kind }) => kind === 'generator').sort((a, b) => compare(a.id, b.id));
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
