import type { Logger } from '../../src/logging/logger';
import { Releases } from '../../src/supervision/releases';

let logged: { message: string; error: string }[];
let released: string[];
let releases: Releases;

beforeEach(() => {
  logged = [];
  released = [];
  const debug = (message: string, { error }: { error: Error }) => {
    logged.push({ message, error: error.message });
  };
  releases = new Releases({ debug } as unknown as Logger);
});

const release = (name: string) => () => {
  released.push(name);
  return Promise.resolve();
};

it('releases everything in reverse order', async () => {
  for (const name of ['connection', 'worker', 'board']) releases.push(name, release(name));
  await releases.releaseAll();
  expect(released).toEqual(['board', 'worker', 'connection']);
  expect(logged).toEqual([]);
});

it('starts a step only when the previous one has ended', async () => {
  let end: () => void = () => undefined;
  let begun: () => void;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  releases.push('connection', release('connection'));
  releases.push('worker', () => {
    begun();
    return new Promise<void>((resolve) => (end = resolve));
  });

  const releasing = releases.releaseAll();
  await hasBegun;
  expect(released).toEqual([]);
  end();
  await releasing;
  expect(released).toEqual(['connection']);
});

it('continues after a step that hangs, and logs it', async () => {
  releases.push('connection', release('connection'));
  releases.push('worker', () => new Promise(() => undefined), 10);
  releases.push('board', release('board'));
  await releases.releaseAll();
  expect(released).toEqual(['board', 'connection']);
  expect(logged).toEqual([
    { message: 'worker was not closed in order', error: 'closing worker took longer than 10 ms' },
  ]);
});

it('continues after a step that rejects or throws, and logs it', async () => {
  releases.push('connection', release('connection'));
  releases.push('worker', () => Promise.reject(new Error('rejected')));
  releases.push('board', () => {
    throw new Error('thrown');
  });
  await releases.releaseAll();
  expect(released).toEqual(['connection']);
  expect(logged).toEqual([
    { message: 'board was not closed in order', error: 'thrown' },
    { message: 'worker was not closed in order', error: 'rejected' },
  ]);
});

it('ignores a step that fails after it was abandoned', async () => {
  let fail: (error: Error) => void = () => undefined;
  const work = new Promise<never>((_, reject) => (fail = reject));
  releases.push('worker', () => work, 5);
  await releases.releaseAll();
  fail(new Error('late'));
  await expect(work).rejects.toThrow('late');
  expect(logged).toHaveLength(1);
});

it('releases everything once, however often it is called', async () => {
  for (const name of ['connection', 'worker', 'board']) releases.push(name, release(name));
  await Promise.all([releases.releaseAll(), releases.releaseAll()]);
  await releases.releaseAll();
  expect([...released].sort()).toEqual(['board', 'connection', 'worker']);
});

it('does nothing if nothing was acquired', async () => {
  await expect(releases.releaseAll()).resolves.toBeUndefined();
});
