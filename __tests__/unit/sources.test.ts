import { resolveSources } from '../../src/tasks/sources';

const handle = () => undefined;
const EXPECTED = 'expected 1 to 256 different names of 1 to 64 characters each, of A-Z a-z 0-9 _ -';

it('sources come from SOURCES, otherwise from the task, otherwise there is one unnamed source', async () => {
  const never = () => Promise.reject(new Error('asked'));
  expect(await resolveSources(['a', 'b'], { sources: never })).toEqual(['a', 'b']);
  expect(await resolveSources(undefined, { sources: ['c'] })).toEqual(['c']);
  expect(await resolveSources(undefined, {})).toBeUndefined();
  expect(await resolveSources(undefined, { sources: undefined })).toBeUndefined();
});

it('a task can provide its sources by a function, possibly asynchronous, that is called as a method', async () => {
  expect(await resolveSources(undefined, { sources: () => ['a'] })).toEqual(['a']);
  expect(await resolveSources(undefined, { sources: () => Promise.resolve(['a', 'b']) })).toEqual(['a', 'b']);
  const task = {
    handle,
    shards: 2,
    sources() {
      return Array.from({ length: this.shards }, (_, index) => `shard${index}`);
    },
  };
  expect(await resolveSources(undefined, task)).toEqual(['shard0', 'shard1']);
});

it.each([
  [[], '[]'],
  [['a', 'a'], '["a","a"]'],
  [['a b'], '["a b"]'],
  [['a', ''], '["a",""]'],
  [['a', 1], '["a",1]'],
  ['a,b', '"a,b"'],
  [{ a: 1 }, '{"a":1}'],
  [null, 'null'],
  [() => undefined, 'undefined'],
  [() => Promise.resolve(['x'.repeat(65)]), `["${'x'.repeat(65)}"]`],
])('invalid sources of a task are refused with exit code 2: %p', async (sources, found) => {
  await expect(resolveSources(undefined, { sources } as never)).rejects.toMatchObject({
    name: 'AppError',
    exitCode: 2,
    message: `the sources of the task are ${found}, ${EXPECTED}`,
  });
});

it('a long list is truncated in error messages', async () => {
  const sources = Array.from({ length: 257 }, (_, index) => `n${index}`);
  await expect(resolveSources(undefined, { sources })).rejects.toThrow(/^.{100,150}…, expected 1 to 256/);
});

it('a function that fails or does not return ends the start with exit code 1', async () => {
  const failing = () => {
    throw new Error('no database');
  };
  await expect(resolveSources(undefined, { sources: failing })).rejects.toMatchObject({
    exitCode: 1,
    message: 'the sources of the task cannot be read: no database',
  });
  const silent = () => new Promise<never>(() => undefined);
  await expect(resolveSources(undefined, { sources: silent }, 20)).rejects.toMatchObject({
    exitCode: 1,
    message: 'the sources of the task cannot be read: no answer within 20 ms',
  });
});
