// Draws and injects faults one after another, with quiet periods in which every promise must hold.
import { setTimeout as sleep } from 'node:timers/promises';
import { QUIET_MS } from './watch.mjs';

/** Maximum time without generation after a fault, in milliseconds: several elections in a row. */
const MAX_GAP_MS = 20_000;

/**
 * @param options `endsAt` on the clock of `performance`, `times` the number of faults, `draw` the random numbers
 * @returns how often each fault was injected, and the gaps without a commit that it caused
 */
export async function runSchedule(world, watch, faults, { endsAt, times, draw }) {
  const counts = {};
  const gaps = {};
  const settling = [];
  let injected = 0;
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
    const done = watch.faultBegins(event, fault.scope);
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
    const atLeader = victim.name === leaders.generator;
    const deposes = atLeader && (fault.kind === 'kill' || fault.kind === 'stop');
    const gapMs = await longestGap(world, before, passing, deposes);
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

/** Draws the generator, the keeper, an instance that leads nothing, or any instance. */
function victimOf(world, { scope }, { generator, keeper }, draw) {
  const how = draw.weighted([
    { weight: 4, names: [generator] },
    { weight: 2, names: [keeper] },
    { weight: 3, spared: [generator, keeper] },
    { weight: 1 },
  ]);
  const any = draw.oneOf(world.instances);
  if (scope !== 'instance') return { name: scope };
  const { names, spared = [] } = how;
  const candidates = world.instances.filter(({ name }) => names?.includes(name) ?? !spared.includes(name));
  return candidates.includes(any) ? any : (candidates[0] ?? any);
}

/**
 * Returns the longest time without a commit, in milliseconds, from the fault until it is over and messages are committed
 * again: by another generator if the fault ended the previous one.
 */
async function longestGap(world, before, passing, byAnother) {
  let passedAt;
  void passing.then(() => (passedAt = performance.now()));
  let seen = before.generated;
  let lastAt = performance.now();
  let longest = 0;
  for (;;) {
    await sleep(4);
    const now = await world.committed();
    const at = performance.now();
    // Writes that a replica had not received are lost.
    if (now.generated < seen) seen = now.generated;
    if (now.generated > seen) {
      // Nobody can commit while Redis itself is down or loading its data.
      longest = Math.max(longest, at - Math.max(lastAt, world.redisBackAt));
      [seen, lastAt] = [now.generated, at];
      if (passedAt !== undefined && (!byAnother || now.term > before.term)) return longest;
    }
    if (passedAt !== undefined && world.problems.length > 0) return undefined;
    if (passedAt !== undefined && at - Math.max(lastAt, passedAt) > MAX_GAP_MS) {
      world.violation(`nothing was committed for ${MAX_GAP_MS} ms`);
      return undefined;
    }
  }
}

async function sleepUnless(isOver, ms) {
  const until = performance.now() + ms;
  while (performance.now() < until && !isOver()) await sleep(50);
}
