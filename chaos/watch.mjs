// Checks during the run. Whenever no fault has been active for 5 s, every promise must hold: each role has a leader, every
// cursor advances, messages are handled, none is stuck, every failure is recorded and every instance is ready. While only
// the task fails, all but the first three must hold as well.
import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf, JOB_LOCK_MS } from './world.mjs';

/** How long after a fault every promise must hold again, in milliseconds. */
export const QUIET_MS = 5000;
const POLL_INTERVAL_MS = 250;
/** A single bad poll can be bad timing on a busy machine. */
const MIN_POLLS = 2;
/** Maximum idle time of generation and handling, and of a message being active; handlers take up to 100 ms. */
const MAX_IDLE_MS = 2000;
const MAX_ACTIVE_MS = 3000;
const MAX_UNRECORDED_MS = 2000;
/**
 * How long after a fault that outlasted a lock messages can still be active, in milliseconds: BullMQ looks for expired locks
 * only several times per lock, twice for each message, and not while Redis refuses writes.
 */
const STALLED_MS = 2 * JOB_LOCK_MS;
const REQUEST_TIMEOUT_MS = 3000;

/** Promises that do not hold while `generate` fails. */
const OF_GENERATING = new Set(['generator', 'cursor', 'handling']);

export function startWatch(world) {
  const active = new Map();
  const recent = [];
  // The start counts as a fault, since new instances need time as well.
  const faultEnds = { task: performance.now(), other: performance.now() };
  let lockOutlastedAt = -Infinity;
  /** Maps a promise and its subject to the violation, its start, and the number of polls that have seen it. */
  const wrong = new Map();
  const checks = {};
  const sights = {
    cursors: world.sources.map(() => new Moving()),
    handled: new Moving(),
    active: new Ages(),
    unrecorded: new Ages(),
  };
  let stopped = false;
  /** What the replica has to confirm next: an offset of this master, and the ledger's length before it. */
  let mark;

  const quietFor = (...scopes) => {
    if ([...active.values()].some((scope) => scopes.includes(scope))) return 0;
    return performance.now() - Math.max(...scopes.map((scope) => faultEnds[scope]));
  };

  function judge(findings) {
    const seen = new Set();
    const quiet = { all: quietFor('task', 'other') >= QUIET_MS, others: quietFor('other') >= QUIET_MS };
    for (const { promise, what } of findings) {
      const key = what === undefined ? undefined : `${promise}: ${what.of ?? ''}`;
      const applies =
        (OF_GENERATING.has(promise) ? quiet.all : quiet.others) &&
        !(promise === 'active messages' && performance.now() - lockOutlastedAt < STALLED_MS);
      if (applies) checks[promise] = (checks[promise] ?? 0) + 1;
      if (key === undefined) continue;
      seen.add(key);
      const known = wrong.get(key) ?? { since: world.seconds(), looks: 0 };
      wrong.set(key, { since: known.since, looks: known.looks + 1 });
      if (!applies || known.looks + 1 < MIN_POLLS || world.problems.length > 0) continue;
      const last = recent.slice(-4).map(described).join('; ');
      world.violation(`${what.text}, since ${known.since} s; last faults: ${last || 'none'}`);
    }
    for (const key of wrong.keys()) if (!seen.has(key)) wrong.delete(key);
  }

  /** Notes in the ledger up to which of its lines the replica has confirmed what the master had. */
  async function noteReplicated() {
    const { client } = world;
    const line = await world.ledger.llen('events');
    const replication = await answerOf(client.info('replication'));
    const [, offset] = /^master_repl_offset:(\d+)/m.exec(replication ?? '') ?? [];
    const confirmed = /^slave0:.*state=online,offset=(\d+)/m.exec(replication ?? '')?.[1];
    if (confirmed === undefined) return;
    if (mark?.client === client && Number(confirmed) < mark.offset) return;
    if (mark?.client === client) await world.note({ e: 'replicated', upTo: mark.line });
    mark = { client, offset: Number(offset), line };
  }

  async function run() {
    while (!stopped) {
      await sleep(POLL_INTERVAL_MS);
      const [findings] = await Promise.all([look(world, sights), noteReplicated()]);
      if (!stopped) judge(findings);
    }
  }
  const running = run();

  return {
    /**
     * @param outlastsLock whether it keeps an instance from renewing a lock for longer than the lock lasts
     * @returns a function to call when it is over
     */
    faultBegins(event, scope, outlastsLock) {
      const fault = { ...event, from: world.seconds() };
      recent.push(fault);
      active.set(fault, scope === 'task' ? 'task' : 'other');
      return () => {
        fault.to = world.seconds();
        faultEnds[active.get(fault)] = performance.now();
        if (outlastsLock) lockOutlastedAt = performance.now();
        active.delete(fault);
      };
    },
    checks,
    async stop() {
      stopped = true;
      await running;
    },
  };
}

const described = ({ kind, i, detail, from, to = 'now' }) =>
  `${kind}${detail === undefined ? '' : ` ${JSON.stringify(detail)}`} on ${i} from ${from} to ${to}`;

/** Returns one entry for each promise that could be checked; `what` is its violation, if any. */
async function look(world, sights) {
  const [state, readiness] = await Promise.all([readState(world), readAll(world)]);
  if (state === undefined) return readiness;
  const { leaders, generated, handled, activeIds, unrecorded } = state;
  const findings = leaders
    .filter(({ exists }) => exists)
    .map(({ role, of, instance, ttl }) => ({
      promise: role,
      what:
        ttl > 0
          ? undefined
          : { of, text: `nobody leads as ${role}${ofSource(of)}, the last was ${instance}` },
    }));
  const rests = (promise, moving, value, text, of) => {
    const ms = moving.restsFor(value);
    const what = ms > MAX_IDLE_MS ? { of, text: `${text} for ${Math.round(ms)} ms` } : undefined;
    findings.push({ promise, what });
  };
  world.sources.forEach(({ name }, index) => {
    const text = `the cursor${ofSource(name)} has not advanced`;
    rests('cursor', sights.cursors[index], generated[index], text, name);
  });
  rests('handling', sights.handled, handled, 'no message has been handled');
  const oldest = (promise, ages, ids, limit, text) => {
    const old = ages.olderThan(limit, ids);
    const which = `${old.length} (${old.slice(0, 5).join(', ')})`;
    findings.push({ promise, what: old.length > 0 ? { text: text(which) } : undefined });
  };
  oldest(
    'active messages',
    sights.active,
    activeIds,
    MAX_ACTIVE_MS,
    (which) => `${which} messages are active for more than ${MAX_ACTIVE_MS} ms`,
  );
  oldest(
    'records',
    sights.unrecorded,
    unrecorded,
    MAX_UNRECORDED_MS,
    (which) => `${which} failures are not on record after ${MAX_UNRECORDED_MS} ms`,
  );
  return [...findings, ...readiness];
}

const ofSource = (name) => (name === undefined ? '' : ` of ${name}`);

async function readState({ client, keys, sources }) {
  const role = async (name, { leader, lease }, of) => {
    const [instance, ttl] = await Promise.all([client.hget(leader, 'instance'), client.pttl(lease)]);
    return { role: name, of, exists: instance !== null, instance, ttl };
  };
  return answerOf(
    Promise.all([
      Promise.all([
        role('keeper', keys.keeper),
        ...sources.map((each) => role('generator', each.keys, each.name)),
      ]),
      Promise.all(sources.map((source) => client.hget(source.keys.cursor, 'generated'))),
      client.zcard('{nic}:messages:completed'),
      client.zcard('{nic}:messages:failed'),
      client.lrange('{nic}:messages:active', 0, -1),
      unrecordedFailures(client),
    ]).then(([leaders, generated, completed, failed, activeIds, unrecorded]) => ({
      leaders,
      generated: generated.map(Number),
      handled: completed + failed,
      activeIds,
      unrecorded,
    })),
    1000,
  );
}

/** Returns ids. Their scores come from the clock of the failing instance, which might have jumped. */
async function unrecordedFailures(client) {
  const [failed, recorded] = await Promise.all([
    client.zcard('{nic}:messages:failed'),
    client.hlen('{nic}:errors'),
  ]);
  if (failed === recorded) return [];
  const ids = await client.zrange('{nic}:messages:failed', 0, -1);
  const records = new Set(await client.hkeys('{nic}:errors'));
  return ids.filter((id) => !records.has(id));
}

/** Returns whether each instance reports that it is ready. */
function readAll(world) {
  return Promise.all(
    world.instances.map(async ({ name, board }) => {
      if (board === undefined) return { promise: 'readiness', what: undefined };
      const answer = await ask(`${board}/readyz`);
      const what = answer === '200' ? undefined : { of: name, text: `${name} is not ready: ${answer}` };
      return {
        promise: 'readiness',
        what: world.instances.some((each) => each.name === name) ? what : undefined,
      };
    }),
  );
}

async function ask(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    const body = await response.text();
    return response.status === 200 ? '200' : `${response.status} ${body}`;
  } catch (error) {
    return `/readyz did not answer (${error.cause?.code ?? error.name})`;
  }
}

/** Watches a number that must keep changing. */
class Moving {
  #value;
  #since = performance.now();

  restsFor(value) {
    if (value !== this.#value) [this.#value, this.#since] = [value, performance.now()];
    return performance.now() - this.#since;
  }
}

/** Watches things that must disappear. */
class Ages {
  #since = new Map();

  olderThan(ms, ids) {
    const now = performance.now();
    this.#since = new Map(ids.map((id) => [id, this.#since.get(id) ?? now]));
    return ids.filter((id) => now - this.#since.get(id) > ms);
  }
}
