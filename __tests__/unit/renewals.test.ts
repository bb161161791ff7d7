import type { Redis } from 'ioredis';
import { Renewals } from '../../src/leadership/renewals';

type Answer = number[] | Error | undefined;

/** Lease nodes that each give one answer to every request: extended (1) or not (0) for each lease; undefined: none. */
function renewalsOf(answers: readonly Answer[]) {
  const requests: unknown[][] = [];
  const nodes = answers.map((answer) => ({
    eval(...args: unknown[]) {
      requests.push(args);
      if (answer === undefined) return new Promise(() => undefined);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  }));
  const renewals = new Renewals({ nodes: nodes as unknown as Redis[], ttlMs: 1000, deadlineMs: 50 });
  return { renewals, requests };
}

async function outcomeOf(answers: readonly Answer[]) {
  const { renewals } = renewalsOf(answers);
  renewals.count(1);
  return renewals.extend('key', 'secret').catch((error: Error) => error.message);
}

it.each<[string, Answer[], string]>([
  ['one node that extended it', [[1]], 'extended'],
  ['one node that no longer holds it', [[0]], 'lost'],
  ['two of three', [[1], [0], [1]], 'extended'],
  ['two of three, one of which is down', [[1], new Error('down'), [1]], 'extended'],
  ['two of three, one of which does not answer', [undefined, [1], [1]], 'extended'],
  ['one of three', [[0], [1], [0]], 'lost'],
  ['one of three, one of which is down', [new Error('down'), [0], [0]], 'lost'],
  ['nobody in time', [undefined, undefined, [1]], 'renewing the lease took longer than 50 ms'],
  ['a minority, as the others are down', [new Error('down'), new Error('down'), [1]], 'down'],
  ['neither side', [[1], [0], new Error('down')], 'down'],
])('a lease is decided by %s', async (_what, answers, outcome) => {
  expect(await outcomeOf(answers)).toBe(outcome);
});

it('leases renewed at about the same time share one request to each node, and each is decided on its own', async () => {
  const { renewals, requests } = renewalsOf([
    [1, 0],
    [1, 1],
    [0, 0],
  ]);
  renewals.count(1);
  renewals.count(1);
  const outcomes = Promise.all([renewals.extend('a', 'of a'), renewals.extend('b', 'of b')]);
  expect(await outcomes).toEqual(['extended', 'lost']);
  expect(requests).toHaveLength(3);
  expect(requests[0]!.slice(1)).toEqual([2, 'a', 'b', 1000, 'of a', 'of b']);
});

it('a renewal does not wait long for the other leases', async () => {
  const { renewals, requests } = renewalsOf([[1]]);
  renewals.count(1);
  renewals.count(1);
  expect(await renewals.extend('a', 'of a')).toBe('extended');
  expect(requests).toHaveLength(1);
});
