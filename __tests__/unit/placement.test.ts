import fc from 'fast-check';
import { chooseSuccessors, type Member, planMoves } from '../../src/leadership/placement';

const KEEPER = { id: 'keeper', kind: 'keeper', source: undefined } as const;
const GENERATOR = { id: 'generator', kind: 'generator', source: undefined } as const;
const source = (name: string) => ({ id: `generator:${name}`, kind: 'generator', source: name }) as const;

function member(instance: string, roles: Member['roles'] = [], more: Partial<Member> = {}): Member {
  const startedAt = `2026-01-01T00:00:0${instance.charCodeAt(0) - 97}.000Z`;
  return { instance, startedAt, generates: true, sources: undefined, roles, ...more };
}

describe('the keeper', () => {
  it('moves to an instance that does not generate', () => {
    const moves = planMoves([member('a', [GENERATOR, KEEPER]), member('b')]);
    expect(moves).toEqual([{ role: 'keeper', from: 'a', to: 'b' }]);
  });

  it('stays where it is if there is no other instance, even beside the generator', () => {
    expect(planMoves([member('a', [GENERATOR, KEEPER])])).toEqual([]);
    expect(planMoves([member('a', [GENERATOR]), member('b', [KEEPER]), member('c')])).toEqual([]);
  });
});

describe('sources', () => {
  const members = fc
    .tuple(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 8 }), fc.infiniteStream(fc.nat(1000)))
    .map(([sources, instances, random]) => {
      const names = Array.from({ length: sources }, (_, index) => `s${index}`);
      const held = names.map((name) => ({ name, by: random.next().value! % instances }));
      return Array.from({ length: instances }, (_, index) =>
        member(
          String.fromCharCode(97 + index),
          held.filter(({ by }) => by === index).map(({ name }) => source(name)),
          {
            sources: names,
          },
        ),
      );
    });

  it('are spread evenly with the fewest moves', () => {
    fc.assert(
      fc.property(members, (before) => {
        const moves = planMoves(before).filter(({ role }) => role !== 'keeper');
        const counts = new Map(before.map(({ instance, roles }) => [instance, roles.length]));
        for (const { from, to } of moves) {
          counts.set(from, counts.get(from)! - 1);
          counts.set(to, counts.get(to)! + 1);
        }
        const after = [...counts.values()];
        expect(Math.max(...after) - Math.min(...after)).toBeLessThanOrEqual(1);
        // No source moves twice, and no instance both gives and takes.
        expect(new Set(moves.map(({ role }) => role)).size).toBe(moves.length);
        const givers = new Set(moves.map(({ from }) => from));
        expect(moves.filter(({ to }) => givers.has(to))).toEqual([]);
      }),
    );
  });

  it('do not move to an instance that does not know them or must not generate', () => {
    const full = member('a', [source('x'), source('y')], { sources: ['x', 'y'] });
    expect(planMoves([full, member('b', [], { sources: ['z'] })])).toEqual([]);
    expect(planMoves([full, member('c', [], { sources: ['x', 'y'], generates: false })])).toEqual([]);
  });
});

describe('the successor', () => {
  const successorOf = (role: Member['roles'][number], leaving: string, group: readonly Member[]) =>
    chooseSuccessors([role], leaving, group).get(role.id);

  it('of a generator is the instance that was started last among those that can generate', () => {
    const group = [member('a', [GENERATOR]), member('b'), member('d'), member('e', [], { generates: false })];
    expect(successorOf(GENERATOR, 'a', group)).toBe('d');
    expect(successorOf(GENERATOR, 'a', [member('a', [GENERATOR])])).toBeUndefined();
  });

  it('of a keeper is preferably an instance that does not generate', () => {
    expect(successorOf(KEEPER, 'a', [member('a', [KEEPER]), member('b'), member('d', [GENERATOR])])).toBe(
      'b',
    );
  });

  it('differs for each source of a leaving instance, so that sources stay evenly spread', () => {
    const names = ['u', 'v', 'w', 'x', 'y', 'z'];
    const roles = names.map(source);
    const group = [
      member('a', roles.slice(0, 3), { sources: names }),
      member('b', roles.slice(3, 5), { sources: names }),
      member('c', roles.slice(5), { sources: names }),
      member('d', [], { sources: ['u'] }),
      member('e', [], { sources: names, generates: false }),
    ];
    const chosen = chooseSuccessors(roles.slice(0, 3), 'a', group);
    expect(Object.fromEntries(chosen)).toEqual({
      'generator:u': 'd',
      'generator:v': 'c',
      'generator:w': 'c',
    });
  });
});
