import { DeposedError } from '../../src/errors';
import { Election } from '../../src/leadership/election';
import type { ElectionOptions, Term } from '../../src/leadership/options';
import type { HeldLease, Lease } from '../../src/leadership/lease';
import type { Logger } from '../../src/logging/logger';
import { silentLogger } from '../helpers/silentLogger';
import { VirtualProcess, VirtualTime } from '../helpers/virtualTime';

const TTL = 3000;

/** A lease with scripted answers; by default it is free and always extends. */
function scriptedLease() {
  const script = {
    /** How long another instance holds it; 0 if it is free. */
    heldFor: (): number | Error => 0,
    extend: (): Promise<'extended' | 'lost'> => Promise.resolve('extended'),
    release: (): Promise<void> => Promise.resolve(),
    log: [] as string[],
  };
  const held: HeldLease = {
    extend: () => {
      script.log.push('extend');
      return script.extend();
    },
    release: () => {
      script.log.push('release');
      return script.release();
    },
  };
  const lease: Lease = {
    heldForMs: () => {
      const answer = script.heldFor();
      if (answer instanceof Error) return Promise.reject(answer);
      if (answer > 0) script.log.push('refused');
      return Promise.resolve(answer);
    },
    acquire: () => {
      script.log.push('acquire');
      return Promise.resolve(held);
    },
  };
  return { script, lease };
}

function setUp(overrides: Partial<ElectionOptions> = {}) {
  const time = new VirtualTime();
  const { script, lease } = scriptedLease();
  const terms: Term[] = [];
  const endings: string[] = [];
  let number = 0;
  const election = new Election({
    role: { id: 'generator', kind: 'generator' },
    lease,
    takeTerm: () => Promise.resolve(++number),
    lead: (term) => {
      terms.push(term);
      script.log.push(`lead ${term.number}`);
      return new Promise((resolve) =>
        term.signal.addEventListener('abort', () => {
          endings.push(String(term.signal.reason));
          script.log.push('end');
          resolve();
        }),
      );
    },
    onEnding: (term, cause) => script.log.push(`ending ${term} ${cause}`),
    onSteppedDown: () => script.log.push('announce'),
    clock: new VirtualProcess(time).clock,
    logger: silentLogger,
    ttlMs: TTL,
    random: () => 0.5,
    ...overrides,
  });
  election.start();
  return { time, script, terms, endings, election };
}

it('leads while it holds the lease, and renews it every third of its time to live', async () => {
  const { time, script, terms, election } = setUp();
  await time.passUntil(TTL * 2 + 1);
  expect(terms.map(({ number }) => number)).toEqual([1]);
  expect(script.log.filter((entry) => entry === 'extend')).toHaveLength(6);
  expect(election.term).toBe(terms[0]);
  expect(terms[0]!.isTrusted()).toBe(true);
});

it('follows while another holds the lease, and campaigns again by itself', async () => {
  const freeAt = 2345;
  const time = new VirtualTime();
  const { script, lease } = scriptedLease();
  script.heldFor = () => Math.max(0, freeAt - time.now);
  const { terms } = setUp({ lease, clock: new VirtualProcess(time).clock });
  await time.passUntil(freeAt - 1);
  expect(terms).toHaveLength(0);
  await time.passUntil(freeAt + TTL / 3);
  expect(terms).toHaveLength(1);
});

it('campaigns at once when woken, even while a request is being refused', async () => {
  const { script, lease } = scriptedLease();
  script.heldFor = () => TTL;
  const { time, terms, election } = setUp({ lease });
  await time.passUntil(100);
  script.heldFor = () => {
    // A leader steps down right now, so the answer is already stale.
    script.heldFor = () => 0;
    election.wake();
    return TTL;
  };
  election.wake();
  await time.passUntil(101);
  expect(terms).toHaveLength(1);
});

it('stops leading at the trust deadline when renewals get no answer', async () => {
  const { time, script, terms, endings } = setUp();
  script.extend = () => new Promise(() => undefined);
  await time.passUntil(TTL * 0.95 - 1);
  expect(terms[0]!.signal.aborted).toBe(false);
  await time.passUntil(TTL * 0.95);
  expect(endings).toEqual(['trust deadline']);
});

it('stops leading at the trust deadline when renewals keep failing', async () => {
  const { time, script, endings } = setUp();
  script.extend = () => Promise.reject(new Error('no'));
  await time.passUntil(TTL);
  expect(endings).toEqual(['trust deadline']);
  expect(script.log.filter((entry) => entry === 'extend').length).toBeGreaterThan(10);
});

it('counts trust from the start of the renewal, not from its answer', async () => {
  const { time, script, endings } = setUp();
  let slow = true;
  script.extend = () => {
    if (!slow) return new Promise(() => undefined);
    slow = false;
    return new Promise((resolve) => time.after(900, () => resolve('extended')));
  };
  // Requested at 1000, answered at 1900: trusted until 1000 + 2850.
  await time.passUntil(3849);
  expect(endings).toEqual([]);
  await time.passUntil(3850);
  expect(endings).toEqual(['trust deadline']);
});

it('is not trusted after the deadline, even before the signal fires', async () => {
  const time = new VirtualTime();
  const process = new VirtualProcess(time);
  const { script, terms } = setUp({ clock: process.clock });
  script.extend = () => Promise.resolve('extended');
  await time.passUntil(10);
  process.pause(TTL * 2);
  await time.passUntil(TTL);
  expect(terms[0]!.signal.aborted).toBe(false);
  expect(terms[0]!.isTrusted()).toBe(false);
});

it('steps down at once when another instance holds the lease', async () => {
  const { time, script, endings } = setUp();
  script.extend = () => Promise.resolve('lost');
  await time.passUntil(TTL / 3 + 1);
  expect(endings).toEqual(['lease lost']);
});

it('logs once that nobody is elected because Redis answers too slowly', async () => {
  const warnings: string[] = [];
  const logger: Logger = {
    error: () => undefined,
    warn: (text) => void warnings.push(text),
    info: () => undefined,
    debug: () => undefined,
    child: () => logger,
  };
  const { time, script } = setUp({ logger });
  script.heldFor = () => new Error('Command timed out');
  await time.passUntil(TTL * 10);
  expect(warnings).toEqual([expect.stringContaining('within 750 ms, a quarter of LEASE_TTL_MS')]);
});

it('retries a release that Redis refuses until the lease is released', async () => {
  const { time, script, election } = setUp();
  await time.passUntil(TTL);
  script.log.length = 0;
  let refusals = 0;
  script.release = () => (++refusals < 4 ? Promise.reject(new Error('NOREPLICAS')) : Promise.resolve());
  election.handOver('b');
  await time.passUntil(TTL + 1000);
  expect(script.log.filter((entry) => ['release', 'announce'].includes(entry))).toEqual([
    ...['release', 'release', 'release', 'release'],
    'announce',
  ]);
});

it('releases a lease that it no longer trusts once Redis answers again, since a late renewal might have prolonged it', async () => {
  const { time, script } = setUp();
  await time.passUntil(TTL);
  script.extend = () => Promise.reject(new Error('Command timed out'));
  script.release = () => Promise.reject(new Error('Connection is closed.'));
  await time.passUntil(2 * TTL + 500);
  expect(script.log.slice(-2)).toEqual(['release', 'release']);
  script.release = () => Promise.resolve();
  script.log.length = 0;
  await time.passUntil(2 * TTL + 800);
  expect(script.log.slice(0, 2)).toEqual(['release', 'announce']);
});

it('lets a lease expire that cannot be released', async () => {
  const { time, script, election } = setUp();
  await time.passUntil(TTL);
  script.log.length = 0;
  script.release = () => Promise.reject(new Error('NOREPLICAS'));
  election.handOver('b');
  await time.passUntil(4 * TTL);
  expect(script.log).toContain('announce');
});

it('a shutdown waits for a lease that cannot be released only until it is no longer trusted', async () => {
  const { time, script, election } = setUp();
  await time.passUntil(TTL);
  script.log.length = 0;
  script.release = () => Promise.reject(new Error('NOREPLICAS'));
  void election.stop();
  await time.passUntil(2 * TTL);
  expect(script.log).toContain('announce');
});

it('steps down in order: the work ends, the lease is released, the others are told', async () => {
  const { time, script, election } = setUp();
  await time.passUntil(10);
  await election.stop();
  expect(script.log).toEqual(['acquire', 'lead 1', 'end', 'ending 1 stopped', 'release', 'announce']);
  expect(election.term).toBeUndefined();
});

it('does not wait forever for work that ignores the end of its term', async () => {
  const { time, script, election } = setUp({ lead: () => new Promise(() => undefined) });
  await time.passUntil(10);
  const stopping = election.stop();
  await time.passUntil(2000);
  await stopping;
  expect(script.log).toContain('release');
});

it('keeps leading when the work ends normally', async () => {
  const { time, script, election } = setUp({ lead: () => Promise.resolve() });
  await time.passUntil(TTL * 2);
  expect(election.term?.number).toBe(1);
  expect(script.log).not.toContain('release');
});

it('steps down when the work fails, and waits longer after each consecutive failure', async () => {
  const startedAt: number[] = [];
  const time = new VirtualTime();
  const { script } = setUp({
    clock: new VirtualProcess(time).clock,
    lead: () => {
      startedAt.push(time.now);
      return Promise.reject(new Error('the feed is down'));
    },
  });
  await time.passUntil(16_000);
  expect(startedAt).toEqual([0, 1000, 3000, 7000, 15_000]);
  expect(script.log.filter((entry) => entry === 'release')).toHaveLength(5);
});

it('campaigns again soon after it was deposed', async () => {
  let deposed = 0;
  const { time, script } = setUp({
    lead: () =>
      deposed++ === 0 ? Promise.reject(new DeposedError('term 1 is over')) : new Promise(() => undefined),
  });
  await time.passUntil(TTL / 10);
  expect(script.log.filter((entry) => entry === 'acquire')).toHaveLength(2);
});

it('releases the lease when the term cannot be taken, and leaves it to others for a second', async () => {
  const { time, script, terms } = setUp({ takeTerm: () => Promise.reject(new Error('Redis is away')) });
  await time.passUntil(999);
  expect(script.log).toEqual(['acquire', 'release', 'announce']);
  await time.passUntil(1001);
  expect(script.log.length).toBe(6);
  expect(terms).toHaveLength(0);
});

it('yields to others when told to, unless it is woken again', async () => {
  const { script, lease } = scriptedLease();
  script.heldFor = () => TTL;
  const { time, terms, election } = setUp({ lease });
  await time.passUntil(10);
  script.heldFor = () => 0;
  election.wake(150);
  await time.passUntil(159);
  expect(terms).toHaveLength(0);
  await time.passUntil(161);
  expect(terms).toHaveLength(1);
});

it('hands over to the named successor, and leaves the role to others for a second', async () => {
  const named: (string | undefined)[] = [];
  const { time, terms, endings, election } = setUp({ onSteppedDown: (successor) => named.push(successor) });
  await time.passUntil(10);
  election.handOver('b');
  await time.passUntil(1000);
  expect(endings).toEqual(['handed over']);
  expect(named).toEqual(['b']);
  expect(terms).toHaveLength(1);
  await time.passUntil(1011);
  expect(terms).toHaveLength(2);
});

it('names a successor when it steps down in order, but not when it was deposed', async () => {
  const named: (string | undefined)[] = [];
  const { time, election } = setUp({
    chooseSuccessor: () => Promise.resolve('c'),
    onSteppedDown: (successor) => named.push(successor),
  });
  await time.passUntil(10);
  election.depose(2);
  await time.passUntil(1000);
  await election.stop();
  expect(named).toEqual([undefined, 'c']);
});

it('is deposed only by a newer term', async () => {
  const { time, endings, election } = setUp();
  await time.passUntil(10);
  election.depose(1);
  await time.passUntil(20);
  expect(endings).toEqual([]);
  election.depose(2);
  await time.passUntil(30);
  expect(endings).toEqual(['deposed']);
});

it('renews in time although taking the term took long', async () => {
  const time = new VirtualTime();
  const slow = () => new Promise<number>((resolve) => time.after(TTL * 0.4, () => resolve(1)));
  const { script, terms } = setUp({ clock: new VirtualProcess(time).clock, takeTerm: slow });
  await time.passUntil(TTL * 0.4 + TTL / 30 + 1);
  expect(script.log).toContain('extend');
  await time.passUntil(TTL * 3);
  expect(terms[0]!.signal.aborted).toBe(false);
});

it('reports why its last term failed, since when, and when it campaigns again', async () => {
  let fails = true;
  const lead = () =>
    fails ? Promise.reject(new Error('the feed is down')) : new Promise<void>(() => undefined);
  const { time, election } = setUp({ lead });
  await time.passUntil(2000);
  const { error, since, retryAt } = election.failure!;
  expect(error.message).toBe('the feed is down');
  expect(retryAt - since).toBeGreaterThanOrEqual(2000);
  fails = false;
  await time.passUntil(4000);
  expect(election.term).toBeDefined();
});

it('keeps campaigning while the lease cannot be requested', async () => {
  let asked = 0;
  const { script, lease } = scriptedLease();
  script.heldFor = () => (++asked < 5 ? new Error('Redis is away') : 0);
  const { time, terms } = setUp({ lease });
  await time.passUntil(TTL * 3);
  expect(asked).toBe(5);
  expect(terms).toHaveLength(1);
});

it('can be stopped before it is started, and twice', async () => {
  const { election } = setUp();
  await Promise.all([election.stop(), election.stop()]);
  expect(election.term).toBeUndefined();
});
