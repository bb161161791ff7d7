/*
 * Placement: which instance should lead what, without anybody who assigns it.
 *
 * Every instance that leads something looks at the same two things now and then: who is alive, and who leads what. From
 * these it computes the same plan as all others, and carries out what the plan says about its own roles. Views can differ
 * for a moment: that costs a hand-over, never a message.
 *
 * The plan: sources are spread so that no eligible instance leads more than one more than another, moving as few as
 * possible; and the keeper is not an instance that generates while another one does not.
 */
import type { Role } from './role';

/** A living instance, as placement sees it. */
export interface Member {
  readonly instance: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly generates: boolean;
  /** Sources that it campaigns for; undefined without named sources. */
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

/** Who should take the role over from `leaving`: of equals, whoever was started last. Undefined: nobody can. */
export function successorOf(
  role: PlacedRole,
  leaving: string,
  members: readonly Member[],
): string | undefined {
  const load = (member: Member) => {
    const generators = generatorsOf(member).length;
    if (role.kind === 'keeper') return Math.min(generators, 1);
    return role.source === undefined ? 0 : generators;
  };
  return members
    .filter((member) => member.instance !== leaving && isEligible(member, role))
    .sort((a, b) => load(a) - load(b) || compare(b.startedAt, a.startedAt) || compare(a.instance, b.instance))
    .at(0)?.instance;
}

/** The moves that would put every role where it should be; the same for everybody with the same view. */
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

/** From the fullest to the emptiest, as long as they differ by two or more. */
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

/** In an order that everybody sees alike. */
function generatorsOf({ roles }: Member): PlacedRole[] {
  return roles.filter(({ kind }) => kind === 'generator').sort((a, b) => compare(a.id, b.id));
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
