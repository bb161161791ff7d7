import { checkTrace, parseLog } from '../../model/traceRules.cjs';

const at = (instance: string, term: number) => ({
  elected: { message: 'elected: this instance is the generator', instance, term },
  steppedDown: {
    message: 'stepped down: this instance is no longer the generator',
    instance,
    term,
    cause: 'stopped',
  },
  generating: (generated: number) => ({ message: 'generating', instance, term, generated }),
  committed: (messages: number, generated: number) => ({
    message: 'committed',
    instance,
    term,
    messages,
    generated,
  }),
});
const a = at('a', 1);
const b = at('b', 2);

it('accepts consecutive terms, even if the first one ended without a log line', () => {
  const lines = [
    a.elected,
    a.generating(0),
    a.committed(2, 2),
    b.elected,
    b.generating(2),
    b.committed(1, 3),
    b.steppedDown,
  ];
  expect(checkTrace(lines, { terms: [{ term: 1, instance: 'a' }], cursor: { generated: 3 } })).toEqual([]);
});

it('accepts a commit that was never logged, and lines of other kinds', () => {
  const lines = [a.elected, { message: 'message 1 handled' }, a.generating(0), b.elected, b.generating(2)];
  expect(checkTrace(lines, { cursor: { generated: 2 } })).toEqual([]);
});

it('accepts a generator that restarts within its term', () => {
  expect(
    checkTrace([a.elected, a.generating(0), a.committed(2, 2), a.generating(2), a.committed(1, 3)]),
  ).toEqual([]);
});

it('ignores the keeper, which commits nothing', () => {
  const keeper = { message: 'elected: this instance is the keeper', role: 'keeper', instance: 'b', term: 1 };
  expect(checkTrace([a.elected, keeper, a.generating(0)])).toEqual([]);
});

it('ignores instances that were elected, but could not take a term', () => {
  const failed = ['a', 'b'].map((instance) => ({
    message: 'elected generator, but the term could not be taken: leaving it to other instances',
    instance,
  }));
  expect(checkTrace([...failed, a.elected, a.generating(0), a.committed(2, 2)])).toEqual([]);
});

it('keeps sources separate', () => {
  const east = [a.elected, a.generating(0), a.committed(2, 2)].map((line) => ({ ...line, source: 'east' }));
  // Elections name the role, commits name the source.
  const west = [{ ...at('b', 1).elected, role: 'generator:west' }];
  expect(checkTrace([...east, ...west], {}, { source: 'east' })).toEqual([]);
  expect(checkTrace([...west, { ...b.committed(1, 1), source: 'west' }], {}, { source: 'west' })).toEqual([
    'b, term 2: committed while it led term 1',
  ]);
});

it.each([
  ['a commit of no term', [a.generating(0), a.committed(1, 1)], 'while it led no term'],
  [
    'a commit after stepping down',
    [a.elected, a.generating(0), a.steppedDown, a.committed(1, 1)],
    'while it led no term',
  ],
  [
    'a commit of an older term than the newest',
    [a.elected, a.generating(0), b.elected, b.generating(0), b.committed(1, 1), a.committed(2, 2)],
    'after term 2 had committed',
  ],
  [
    'a batch that is committed twice',
    [a.elected, a.generating(0), a.committed(2, 2), b.elected, b.generating(0), b.committed(2, 2)],
    'overlaps with',
  ],
  ['a gap', [a.elected, a.generating(0), a.committed(2, 2), a.committed(1, 4)], 'which is not 4'],
  ['a term in two hands', [a.elected, at('b', 1).elected], 'belongs to a and to b'],
  [
    'a start from a position that was passed',
    [a.elected, a.generating(0), a.committed(2, 2), b.elected, b.generating(1)],
    'in the middle of a batch',
  ],
  [
    'a start from before an older commit',
    [a.elected, a.generating(0), a.committed(2, 2), b.elected, b.generating(0)],
    'has committed 2',
  ],
  [
    'a commit without reading the position',
    [a.elected, a.committed(1, 1)],
    'before it had read the position',
  ],
  ['two terms at once', [a.elected, at('a', 2).elected], 'while it led term 1'],
])('rejects %s', (_, lines, reason) => {
  expect(checkTrace(lines).join('\n')).toContain(reason);
});

it('rejects a commit that is missing in Redis, unless Redis can lose writes', () => {
  const lines = [a.elected, a.generating(0), a.committed(2, 2)];
  expect(checkTrace(lines, { cursor: { generated: 1 } })).toEqual(['2 were committed, and Redis counts 1']);
  expect(checkTrace(lines, { cursor: { generated: 1 } }, { lossless: false })).toEqual([]);
});

it('accepts a repeated term after Redis has lost writes, but still no commit outside a term', () => {
  const again = [a.elected, a.generating(0), a.steppedDown, a.elected, a.generating(0), a.committed(1, 1)];
  expect(checkTrace(again, {}, { lossless: false })).toEqual([]);
  expect(checkTrace(again)).toEqual(['a, term 1: elected after it had led term 1']);
  expect(checkTrace([a.committed(1, 1)], {}, { lossless: false })).toHaveLength(1);
});

it('reads logs whose last line was cut off', () => {
  expect(parseLog('{"message":"committed"}\nplain text\n{"mess')).toEqual([{ message: 'committed' }]);
});
