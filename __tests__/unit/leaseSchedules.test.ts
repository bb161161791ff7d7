/*
 * Counterexamples of lease.pml, replayed by real elections in virtual time. With a time to live of 20 ms the margin is
 * 5 ms, a quarter, as in the model: a tick is 5 ms. Each schedule removes a guard from the trust deadline.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Election } from '../../src/leadership/election';
import type { HeldLease } from '../../src/leadership/lease';
import type { Term } from '../../src/leadership/options';
import { timingsOf } from '../../src/leadership/timings';
import { TrustDeadline } from '../../src/leadership/trustDeadline';
import { silentLogger } from '../helpers/silentLogger';
import { VirtualProcess, VirtualTime } from '../helpers/virtualTime';

const TTL = 20;
const TICK = TTL / 4;

interface Schedule {
  guard: string;
  model: string;
  steps: string[];
}

const directory = join(__dirname, '../../model/schedules');
const schedules = readdirSync(directory)
  .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as Schedule)
  .filter(({ model }) => model === 'lease');

/** How much longer a leader trusts its lease without the guard, in milliseconds. */
const LONGER: Record<string, (answeredAfterMs: number) => number> = {
  NO_TRUST_DEADLINE: () => Infinity,
  TRUST_FROM_ANSWER: (answeredAfterMs) => answeredAfterMs,
  NO_MARGIN: () => TICK,
};

async function play(steps: readonly string[], longer = (_ms: number) => 0): Promise<number> {
  const time = new VirtualTime();
  const node = { holder: undefined as number | undefined, expiresAt: 0 };
  let most = 0;
  let answeredAfterMs = 0;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its object below
  const original = TrustDeadline.prototype.remainingMs;
  const spy = jest.spyOn(TrustDeadline.prototype, 'remainingMs').mockImplementation(function (
    this: TrustDeadline,
  ) {
    return original.call(this) + longer(answeredAfterMs);
  });
  const instances = [0, 1].map((i) => {
    const process = new VirtualProcess(time);
    const instance = {
      campaign: (): void => undefined,
      answer: (): void => undefined,
      askedAt: 0,
      granted: false,
      term: undefined as Term | undefined,
    };
    const held: HeldLease = {
      // No schedule gets as far as an answer.
      extend: () => new Promise(() => undefined),
      release: () => Promise.resolve(),
    };
    const election = new Election({
      role: { id: 'generator', kind: 'generator' },
      lease: {
        heldForMs: () => new Promise((resolve) => (instance.campaign = () => resolve(0))),
        acquire: () =>
          new Promise((resolve) => {
            instance.askedAt = time.now;
            instance.answer = () => resolve(instance.granted ? held : undefined);
          }),
      },
      takeTerm: () => Promise.resolve(i + 1),
      lead: (term) => {
        instance.term = term;
        return Promise.resolve();
      },
      clock: process.clock,
      logger: silentLogger,
      ttlMs: TTL,
      random: () => 0.5,
    });
    election.start();
    return Object.assign(instance, { election });
  });
  const settled = () => time.passUntil(time.now);

  await settled();
  for (const text of steps) {
    const [step, ...args] = text.split(' ');
    const instance = instances[Number(args.at(-1) ?? 0)]!;
    if (step === 'tick') await time.passUntil(time.now + TICK);
    if (node.expiresAt <= time.now || step === 'early') node.holder = undefined;
    if (step === 'campaign') instance.campaign();
    if (step === 'grant' && node.holder === undefined) {
      Object.assign(node, { holder: Number(args[1]), expiresAt: time.now + TTL });
      instance.granted = true;
    }
    if (step === 'elected') {
      answeredAfterMs = Math.max(answeredAfterMs, time.now - instance.askedAt);
      instance.answer();
    }
    await settled();
    most = Math.max(most, instances.filter(({ term }) => term?.isTrusted() === true).length);
  }
  const stopping = Promise.all(
    instances.map(({ election, campaign, answer }) => {
      const stopped = election.stop();
      campaign();
      answer();
      return stopped;
    }),
  );
  for (let n = 0; n < 5; n++) {
    await time.passUntil(time.now + 2000);
    for (const { campaign, answer } of instances) {
      campaign();
      answer();
    }
  }
  await stopping;
  spy.mockRestore();
  return most;
}

it('there is a schedule for each guard that can be removed from the trust deadline', () => {
  expect(schedules.map(({ guard }) => guard).sort()).toEqual(Object.keys(LONGER).sort());
  expect(timingsOf(TTL).trust.ms).toBe(3 * TICK);
});

it.each(schedules)(
  '$guard: one instance believes that it leads with the guard, two without it',
  async ({ guard, steps }) => {
    expect(await play(steps)).toBe(1);
    expect(await play(steps, LONGER[guard])).toBe(2);
  },
);
