/*
 * The election under random faults: several instances on one simulated Redis, in simulated time, with a
 * network that delays and loses requests and answers, paused processes, and work that fails. What must never
 * happen is checked at every step; what must happen again is checked after the faults have ended.
 */
import fc from 'fast-check';
import { DeposedError } from '../../src/errors';
import { Election } from '../../src/leadership/election';
import type { Term } from '../../src/leadership/options';
import type { HeldLease, Lease } from '../../src/leadership/lease';
import { silentLogger } from '../helpers/silentLogger';
import { VirtualProcess, VirtualTime } from '../helpers/virtualTime';

const TTL = 3000;
/** The client timeout, shorter than the renewal interval. */
const TIMEOUT = TTL / 5;

/** The fate of one request to Redis. */
interface Fate {
  /** Milliseconds until the request arrives, and then until its answer arrives. */
  there: number;
  back: number;
  lost: 'no' | 'question' | 'answer';
}

interface Scenario {
  instances: number;
  fates: Fate[];
  pauses: { instance: number; at: number; ms: number }[];
  /** The terms whose work fails, by their order. */
  failures: boolean[];
  wakes: { instance: number; at: number }[];
}

const fate = fc.record<Fate>({
  there: fc.oneof({ weight: 3, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(TTL * 2) }),
  back: fc.oneof({ weight: 3, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(TTL * 2) }),
  lost: fc.oneof(
    { weight: 5, arbitrary: fc.constant('no' as const) },
    { weight: 1, arbitrary: fc.constant('question' as const) },
    { weight: 1, arbitrary: fc.constant('answer' as const) },
  ),
});

const scenarios = fc.record<Scenario>({
  instances: fc.integer({ min: 1, max: 3 }),
  fates: fc.array(fate, { maxLength: 120 }),
  pauses: fc.array(
    fc.record({ instance: fc.nat(2), at: fc.nat(15_000), ms: fc.integer({ min: 1, max: TTL * 3 }) }),
    { maxLength: 6 },
  ),
  failures: fc.array(fc.boolean(), { maxLength: 5 }),
  wakes: fc.array(fc.record({ instance: fc.nat(2), at: fc.nat(15_000) }), { maxLength: 5 }),
});

class World {
  readonly time = new VirtualTime();
  readonly violations: string[] = [];
  /** Terms of the commits in the order in which Redis accepted them. */
  readonly committed: { term: number; instance: number }[] = [];
  #lease: { holder: string; expiresAt: number } | undefined;
  #leader = { term: 0, instance: -1 };
  readonly #fates: Fate[];
  #secrets = 0;

  constructor(fates: Fate[]) {
    this.#fates = [...fates];
  }

  /** Sends a request to the simulated Redis; rejects after the timeout. */
  ask<T>(process: VirtualProcess, execute: () => T): Promise<T> {
    const { there, back, lost } = this.#fates.shift() ?? { there: 1, back: 1, lost: 'no' };
    return new Promise((resolve, reject) => {
      this.time.after(TIMEOUT, () => process.deliver(() => reject(new Error('no answer in time'))));
      if (lost === 'question') return;
      this.time.after(there, () => {
        const answer = execute();
        if (lost !== 'answer') this.time.after(back, () => process.deliver(() => resolve(answer)));
      });
    });
  }

  #holder(): string | undefined {
    if (this.#lease !== undefined && this.#lease.expiresAt <= this.time.now) this.#lease = undefined;
    return this.#lease?.holder;
  }

  leaseFor(process: VirtualProcess): Lease {
    return {
      heldForMs: () =>
        this.ask(process, () => (this.#holder() === undefined ? 0 : this.#lease!.expiresAt - this.time.now)),
      acquire: async () => {
        const secret = `s${++this.#secrets}`;
        const acquired = await this.ask(process, () => {
          if (this.#holder() !== undefined) return false;
          this.#lease = { holder: secret, expiresAt: this.time.now + TTL };
          return true;
        });
        return acquired ? this.#held(process, secret) : undefined;
      },
    };
  }

  #held(process: VirtualProcess, secret: string): HeldLease {
    return {
      extend: () =>
        this.ask(process, () => {
          if (this.#holder() !== secret) return 'lost';
          this.#lease!.expiresAt = this.time.now + TTL;
          return 'extended';
        }),
      release: () =>
        this.ask(process, () => {
          if (this.#holder() === secret) this.#lease = undefined;
        }),
    };
  }

  takeTerm(process: VirtualProcess, instance: number): Promise<number> {
    return this.ask(process, () => {
      this.#leader = { term: this.#leader.term + 1, instance };
      return this.#leader.term;
    });
  }

  /** Generates for as long as the term lasts, and checks the invariants each time. */
  async generate(process: VirtualProcess, instance: number, term: Term): Promise<void> {
    while (!term.signal.aborted) {
      await process.clock.sleep(37, term.signal);
      if (!term.isTrusted()) continue;
      // Only a crashed leader is ever evicted here: while a leader trusts its lease, Redis holds it.
      if (this.#lease === undefined || this.#lease.expiresAt <= this.time.now) {
        this.violations.push(`instance ${instance} trusts a lease that has run out, at ${this.time.now}`);
      }
      const taken = await this.ask(process, () => {
        if (this.#leader.term !== term.number || this.#leader.instance !== instance) return false;
        this.committed.push({ term: term.number, instance });
        return true;
      }).catch(() => undefined);
      if (taken === false) throw new DeposedError('a newer term exists');
    }
  }
}

async function play(scenario: Scenario): Promise<World> {
  const world = new World(scenario.fates);
  const failures = [...scenario.failures];
  const leading = new Set<number>();
  const elections = Array.from({ length: scenario.instances }, (_, instance) => {
    const process = new VirtualProcess(world.time);
    const election = new Election({
      role: { id: 'generator', kind: 'generator' },
      lease: world.leaseFor(process),
      takeTerm: () => world.takeTerm(process, instance),
      async lead(term) {
        leading.add(instance);
        try {
          if (failures.shift() === true) throw new Error('the feed is down');
          await world.generate(process, instance, term);
        } finally {
          leading.delete(instance);
        }
      },
      clock: process.clock,
      logger: silentLogger,
      ttlMs: TTL,
      random: () => 0.5,
    });
    election.start();
    return { process, election };
  });
  for (const { instance, at, ms } of scenario.pauses) {
    world.time.after(at, () => elections[instance]?.process.pause(ms));
  }
  for (const { instance, at } of scenario.wakes) {
    world.time.after(at, () => elections[instance]?.election.wake());
  }

  // Long enough for every fault to pass and for failed work to be retried.
  await world.time.passUntil(15_000 + TTL * 3);
  for (let round = 0; round < 60 && world.time.now < 400_000; round++) {
    await world.time.passUntil(world.time.now + TTL);
    if (scenario.fates.length > 0 && round < 4) continue;
    const before = world.committed.length;
    await world.time.passUntil(world.time.now + TTL);
    if (world.committed.length > before) break;
  }

  // After the faults, exactly one instance commits.
  const before = world.committed.length;
  await world.time.passUntil(world.time.now + TTL);
  const recent = new Set(world.committed.slice(before).map(({ instance }) => instance));
  if (recent.size !== 1) world.violations.push(`${recent.size} instances commit although all is well`);
  if (leading.size !== 1) world.violations.push(`${leading.size} instances lead although all is well`);

  // In the order of Redis, terms only increase, and each belongs to one instance.
  for (const [index, { term, instance }] of world.committed.entries()) {
    const previous = world.committed[index - 1];
    if (previous === undefined) continue;
    if (term < previous.term) world.violations.push(`term ${term} committed after term ${previous.term}`);
    if (term === previous.term && instance !== previous.instance) {
      world.violations.push(`term ${term} was committed to by two instances`);
    }
  }
  const stopping = Promise.all(elections.map(({ election }) => election.stop()));
  await world.time.passUntil(world.time.now + TTL * 2);
  await stopping;
  return world;
}

it('never generates past its trust deadline, never lets two terms pass the fence, and always recovers a leader', async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      const world = await play(scenario);
      expect(world.violations).toEqual([]);
    }),
    { numRuns: Number(process.env['FC_RUNS'] ?? 60), endOnFailure: false },
  );
});
