// Draws and injects faults one after another, with quiet periods in which every promise must hold.
import { setTimeout as sleep } from 'node:timers/promises';
import { QUIET_MS } from './watch.mjs';

/** Maximum time without generation after a fault, in milliseconds: several elections in a row. */
const MAX_GAP_MS = 20_000;

/** Within this time after an outage of Redis, all instances have reconnected and have seen each other, in milliseconds. */
const RECONNECTING_MS = 2000;

/** How long after a kill the messages of the killed instance have been requeued, in milliseconds. */
const REDELIVERY_MS = 3000;

/**
 * @param options `endsAt` on the clock of `performance`, `times` the number of faults, `draw` the random numbers
 * @returns how often each fault was injected, and the gaps without a commit that it caused
 */
export async function runSchedule(world, watch, faults, { endsAt, times, draw }) {
  const counts = {};
  const gaps = {};
  const settling = [];
  let injected = 0;
  let killedAt = -Infinity;
  let untilQuiet = draw.whole(1, 3);
  const isOver = () => performance.now() >= endsAt || injected >= times || world.problems.length > 0;

  async function inject(fault, victim, { ms, detail }) {
    injected++;
    counts[fault.kind] = (counts[fault.kind] ?? 0) + 1;
    const event = {
      id: injected,
      kind: fault.kind,
      i: victim.name,
      ...(ms && { ms }),
      ...(detail && { detail }),
    };
    const excuses = fault.excuses(ms, detail);
    await world.note({ e: 'fault', ...event, excuses, losesWrites: fault.losesWrites === true });
    // A killed instance that nobody had seen yet, or whose messages nobody had requeued before the connections of all
    // instances broke, looks like a blocked one.
    if (fault.kind === 'kill') killedAt = performance.now();
    const leavesLocks =
      fault.kind === 'kill'
        ? performance.now() - world.redisBackAt < RECONNECTING_MS
        : fault.scope === 'redis' && performance.now() - killedAt < REDELIVERY_MS;
    const outlastsLock = leavesLocks || (ms !== undefined && excuses);
    const done = watch.faultBegins(event, fault.scope, outlastsLock);
    try {
      await fault.inject(victim, ms, detail);
    } finally {
      done();
    }
    // A handler might learn the fate of its message only after a reconnect; dead processes learn nothing.
    if (fault.kind === 'kill') return;
    const { settleMs = 300 } = fault;
    const settled = sleep(settleMs).then(() => world.note({ e: 'healed', i: victim.name, id: event.id }));
    if (settleMs < 1000) await settled;
    else settling.push(settled);
  }

  while (!isOver()) {
    await sleep(draw.between(100, 600));
    const leaders = await world.leaders();
    const fault = draw.weighted(faults);
    const victim = victimOf(world, fault, leaders, draw);
    const strikes = [{ fault, victim, drawn: lengthOf(fault, draw) }];
    // Sometimes two faults coincide.
    const further = draw.weighted(faults);
    const furtherDrawn = lengthOf(further, draw);
    const twofold = draw.chance(0.3) && fault.scope === 'instance' && further.scope === 'instance';
    const others = world.instances.filter((each) => each !== victim);
    const other = draw.oneOf(others);
    if (twofold && other) strikes.push({ fault: further, victim: other, drawn: furtherDrawn });

    const before = await world.committed();
    const passing = Promise.all(strikes.map((strike) => inject(strike.fault, strike.victim, strike.drawn)));
    const led = world.sources
      .map((_, index) => index)
      .filter((index) => leaders.generators[index] === victim.name);
    const atLeader = led.length > 0;
    const deposes = atLeader && (fault.kind === 'kill' || fault.kind === 'stop');
    const gapMs = await longestGap(world, before, passing, { led: atLeader ? led : undefined, deposes });
    await passing;
    const counted = fault.scope === 'redis' || atLeader;
    if (counted && strikes.length === 1 && gapMs !== undefined) (gaps[fault.kind] ??= []).push(gapMs);
    if (--untilQuiet > 0 && !isOver()) continue;
    untilQuiet = draw.whole(1, 3);
    await sleepUnless(isOver, QUIET_MS + draw.between(1000, 2500));
  }
  await Promise.all(settling);
  return { counts, gaps };
}

function lengthOf(fault, draw) {
  const ms = fault.length && draw.length(...fault.length);
  return { ms, detail: fault.detail?.(draw) };
}

/** Draws a generator, the keeper, an instance that leads nothing, or any instance. */
function victimOf(world, { scope }, { generators, keeper }, draw) {
  const how = draw.weighted([
    { weight: 4, names: generators },
    { weight: 2, names: [keeper] },
    { weight: 3, spared: [...generators, keeper] },
    { weight: 1 },
  ]);
  const any = draw.oneOf(world.instances);
  if (scope !== 'instance') return { name: scope };
  const { names, spared = [] } = how;
  const candidates = world.instances.filter(({ name }) => names?.includes(name) ?? !spared.includes(name));
  return candidates.includes(any) ? any : (candidates[0] ?? any);
}

/**
 * Returns the longest time without a commit of one of the sources, in milliseconds, from the fault until it is over and
 * messages of all of them are committed again: by another generator if the fault ended the previous one.
 *
 * @param options `led` are the indexes of the sources that the fault concerns, all if omitted; `deposes` is whether it ends
 * their generator
 */
async function longestGap(world, before, passing, { led, deposes }) {
  let passedAt;
  void passing.then(() => (passedAt = performance.now()));
  const startedAt = performance.now();
  const waits = before.map(({ term, generated }, index) => {
    return { index, term, seen: generated, lastAt: startedAt, longest: 0, isOver: false };
  });
  const concerned = waits.filter(({ index }) => led?.includes(index) ?? true);
  for (;;) {
    await sleep(4);
    const committed = await world.committed();
    const at = performance.now();
    for (const wait of concerned) {
      if (wait.isOver) continue;
      const now = committed[wait.index];
      // Writes that a replica had not received are lost.
      if (now.generated < wait.seen) wait.seen = now.generated;
      if (now.generated === wait.seen) continue;
      // Nobody can commit while Redis itself is down or loading its data.
      wait.longest = Math.max(wait.longest, at - Math.max(wait.lastAt, world.redisBackAt));
      [wait.seen, wait.lastAt] = [now.generated, at];
      wait.isOver = passedAt !== undefined && (!deposes || now.term > wait.term);
    }
    const open = concerned.filter(({ isOver }) => !isOver);
    if (open.length === 0) return Math.max(...concerned.map(({ longest }) => longest));
    if (passedAt !== undefined && world.problems.length > 0) return undefined;
    const overdue = open.find(
      ({ lastAt }) => passedAt !== undefined && at - Math.max(lastAt, passedAt) > MAX_GAP_MS,
    );
    if (overdue !== undefined) {
      const { name } = world.sources[overdue.index];
      world.violation(`nothing${name === undefined ? '' : ` of ${name}`} was committed for ${MAX_GAP_MS} ms`);
      return undefined;
    }
  }
}

async function sleepUnless(isOver, ms) {
  const until = performance.now() + ms;
  while (performance.now() < until && !isOver()) await sleep(50);
}
