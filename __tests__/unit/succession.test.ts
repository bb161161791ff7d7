import { Succession } from '../../src/leadership/succession';

const TTL = 1000;
let now: number;
let succession: Succession;

beforeEach(() => {
  now = 0;
  succession = new Succession({ now: () => now }, TTL);
});

it('found nobody leading: it took over from nobody', () => {
  expect(succession.cause()).toBeUndefined();
});

it.each(['crash', 'handover'] as const)('what was seen right before is the cause: %s', (cause) => {
  succession.follow();
  succession.saw(cause);
  now += 20;
  expect(succession.cause()).toBe(cause);
});

it('nothing was seen: the lease ran out', () => {
  succession.follow();
  expect(succession.cause()).toBe('silence');
});

it('what was seen of an earlier leader is not the cause', () => {
  succession.follow();
  succession.saw('crash');
  succession.forget();
  expect(succession.cause()).toBe('silence');
});

it('what was seen longer ago than a lease lasts is not the cause', () => {
  succession.follow();
  succession.saw('handover');
  now += TTL;
  expect(succession.cause()).toBe('silence');
});

it('each cause is given once', () => {
  succession.saw('crash');
  expect(succession.cause()).toBe('crash');
  expect(succession.cause()).toBe('silence');
});
