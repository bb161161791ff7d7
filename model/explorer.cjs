// Real committers against a real Redis, with a gate (gate.cjs) that decides what is delivered when.
//
// A schedule has up to two faults. Each has a point, the n-th request or answer of one instance, and what happens there:
//   lost     the request or answer and its connection are lost
//   late     the connection is lost, and the request arrives after the next transaction; lateRead: after the next read;
//            lateEnd: at the end
//   term     another instance takes the next term and commits
//   rewind   an operator moves the cursor back to the start, with the next term
//   pause    generation is paused; it resumes as soon as an instance has noticed, or at the end
//   restart  every connection is lost, with all requests in transit; with `kills`, because Redis itself is killed and
//            restarted from its data on disk
//   rollback the same, and Redis has lost everything since the first term was taken
// The request or answer at a point is held until the fault has happened.
const { startGate } = require('./gate.cjs');

const BATCHES = 2;
const POINTS = { a: 9, b: 8 };
const REQUEST = ['lost', 'lateRead', 'late', 'lateEnd', 'term', 'rewind', 'pause', 'restart', 'rollback'];
const ANSWER = ['lost', 'term', 'rewind', 'pause', 'restart', 'rollback'];

/**
 * @typedef {{ actor: 'a' | 'b', n: number, side: 'request' | 'answer', kind: string }} Fault
 * @typedef {{ term: number, instance: string, after: number, cursor?: number, start?: number }} Mark
 */

const ONCE = /** @type {Fault[]} */ ([]);
for (const actor of /** @type {const} */ (['a', 'b'])) {
  for (let n = 1; n <= POINTS[actor]; n++) {
    for (const kind of REQUEST) ONCE.push({ actor, n, side: 'request', kind });
    for (const kind of ANSWER) ONCE.push({ actor, n, side: 'answer', kind });
  }
}
const FIRST = ONCE.filter(({ actor }) => actor === 'a');
/** No fault, each single fault, and every pair; `b` acts only after a fault has made it take a term. */
const COUNT = 1 + FIRST.length + (ONCE.length * (ONCE.length - 1)) / 2;

/** @returns {Fault[]} the schedule of this number, from 0 to COUNT - 1 */
function scheduleOf(/** @type {number} */ index) {
  if (index === 0) return [];
  if (index <= FIRST.length) return [FIRST[index - 1]];
  let rest = index - 1 - FIRST.length;
  for (let first = 0; ; first++) {
    const pairs = ONCE.length - 1 - first;
    if (rest < pairs) return [ONCE[first], ONCE[first + 1 + rest]];
    rest -= pairs;
  }
}

/** Returns whether a fault of this schedule is impossible: it waits for `b`, and nothing makes `b` lead. */
function isIdle(/** @type {readonly Fault[]} */ faults) {
  return (
    faults.some(({ actor }) => actor === 'b') &&
    !faults.some(({ actor, kind }) => actor === 'a' && kind === 'term')
  );
}

/** Returns whether Redis restarts in this schedule. */
const restarts = (/** @type {readonly Fault[]} */ faults) => faults.some(({ kind }) => kind === 'restart');

const KEYS_SCRIPT = `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end
redis.call('HSET', KEYS[1], 'instance', 'a', 'term', 1)`;

/**
 * @param {{ Committer: any, DeposedError: any, keysOf: any, RedisConnector: any, parseRedisUrl: any, encode: (messages: unknown[], cursor: unknown) => any }} parts
 * @param {{ port: number, client: any, kill?: any, restart?: any }} redis
 * @param {readonly Fault[]} faults
 * @param {{ namespace: string, kills?: boolean, rewrite?: (keys: any) => (command: Buffer[], inTransaction: boolean) => Buffer[] }} options
 * `kills`: the Redis belongs to this schedule only and can be killed
 * @returns {Promise<string | undefined>} what went wrong
 */
async function explore(parts, redis, faults, { namespace, rewrite, kills = false }) {
  const { Committer, DeposedError, keysOf, RedisConnector, parseRedisUrl, encode } = parts;
  const keys = keysOf(namespace);
  const source = keys.source();
  const { client } = redis;
  const counts = { a: 0, b: 0, c: 0 };
  /** @type {Mark[]} */
  let marks = [];
  let pausedAt = /** @type {number | undefined} */ (undefined);
  const wrong = /** @type {string[]} */ ([]);
  const ending = new AbortController();
  const running = /** @type {Promise<void>[]} */ ([]);
  const gates = /** @type {Map<string, any>} */ (new Map());
  const logger = { error() {}, warn() {}, info() {}, debug() {}, child: () => logger };

  const takeTerm = async (/** @type {string} */ instance) => {
    const replies = await client
      .multi()
      .hincrby(source.leader, 'term', 1)
      .hset(source.leader, 'instance', instance)
      .get(keys.jobCounter)
      .exec();
    const term = replies[0][1];
    marks.push({ term, instance, after: Number(replies[2][1] ?? 0) });
    return term;
  };
  const start = async (/** @type {string} */ instance) => {
    if (gates.has(instance)) return;
    gates.set(instance, undefined);
    const term = await takeTerm(instance);
    const gate = await startGate(redis.port, {
      request: (group) => decide(instance, 'request', group),
      answer: (group) => decide(instance, 'answer', group),
      rewrite: rewrite?.(keys),
    });
    gates.set(instance, gate);
    const connector = new RedisConnector({ address: parseRedisUrl(gate.url), key: keys.errors });
    const committer = new Committer({
      connect: () => connector.connect('commit'),
      keys,
      source,
      jobName: 'message',
      instance,
      term: { number: term, signal: ending.signal, isTrusted: () => true },
      jobOptions: {},
      maxBacklog: 1000,
      logger,
    });
    running.push(generate(committer, term, instance));
  };
  const generate = async (
    /** @type {any} */ committer,
    /** @type {number} */ term,
    /** @type {string} */ instance,
  ) => {
    try {
      let position = await committer.position();
      for (;;) {
        const cursor = position.cursorJson === undefined ? 0 : Number(JSON.parse(position.cursorJson));
        if (cursor >= BATCHES) return;
        const n = cursor + 1;
        const result = await committer.commit(
          position,
          encode(
            [
              { n, term, instance },
              { n, term, instance },
            ],
            n,
          ),
        );
        if (result.outcome === 'committed') position = result.position;
        else if (result.outcome === 'diverged') position = await committer.position();
        else await resume();
      }
    } catch (error) {
      if (!(error instanceof DeposedError)) wrong.push(`${instance}: ${error}`);
    }
  };
  const counter = async () => Number((await client.get(keys.jobCounter)) ?? 0);
  const resume = async () => {
    if (pausedAt === undefined) return;
    const before = pausedAt;
    pausedAt = undefined;
    const [[, now]] = await client.multi().get(keys.jobCounter).hdel(keys.paused, 'generating').exec();
    if (Number(now ?? 0) !== before)
      wrong.push(`${Number(now) - before} messages were committed while paused`);
  };
  const happen = async (/** @type {string} */ kind) => {
    if (kind === 'term') await start('b');
    if (kind === 'rewind') {
      const [[, term], , , [, after]] = await client
        .multi()
        .hincrby(source.leader, 'term', 1)
        .hset(source.leader, 'instance', 'operator')
        .hdel(source.cursor, 'cursor')
        .get(keys.jobCounter)
        .exec();
      marks.push({ term, instance: 'operator', after: Number(after ?? 0), start: 0 });
    }
    if (kind === 'pause' && pausedAt === undefined) {
      const replies = await client.multi().hset(keys.paused, 'generating', 'x').get(keys.jobCounter).exec();
      pausedAt = Number(replies[1][1] ?? 0);
    }
    if (kind === 'restart' && kills) {
      await redis.kill();
      await redis.restart();
    } else if (kind === 'restart' || kind === 'rollback') {
      for (const gate of gates.values()) gate?.cutAll();
      if (kind === 'rollback') {
        await client.eval(KEYS_SCRIPT, 1, source.leader, `{${namespace}}:*`);
        marks = marks.slice(0, 1);
        pausedAt = undefined;
      }
    }
  };
  const lateNow = async () => {
    for (const gate of gates.values()) await gate?.deliverLate();
  };
  let over = false;
  let arrives = 'late';
  const happenings = /** @type {Promise<void>[]} */ ([]);
  const settled = async () => {
    for (let n = 0; n < running.length; n++) await running[n];
    // Read-ahead requests are decided when their instance has already finished.
    for (let n = 0; n < happenings.length; n++) await happenings[n];
    for (let n = 0; n < running.length; n++) await running[n];
  };
  const decide = async (
    /** @type {any} */ actor,
    /** @type {'request' | 'answer'} */ side,
    /** @type {any} */ group,
  ) => {
    const n = side === 'request' ? ++counts[/** @type {'a'} */ (actor)] : counts[/** @type {'a'} */ (actor)];
    const passed = group.kind === 'transaction' ? 'late' : 'lateRead';
    if (side === 'answer' && arrives === passed) await lateNow();
    for (const fault of over ? [] : faults) {
      if (fault.actor !== actor || fault.n !== n || fault.side !== side) continue;
      if (fault.kind === 'lost') return 'lost';
      if (fault.kind.startsWith('late')) {
        arrives = fault.kind;
        return 'late';
      }
      const happening = happen(fault.kind);
      happenings.push(happening);
      await happening;
    }
    return 'deliver';
  };

  const deadline = setTimeout(() => {
    wrong.push('it did not end within 20 s');
    ending.abort();
  }, 20_000);
  try {
    await start('a');
    await settled();
    // The last one has no fault.
    over = true;
    await resume();
    // The last leader might have been deposed by something other than an instance.
    await start('c');
    await settled();
    await lateNow();
    const before = await counter();
    if (before === 0) wrong.push('nothing was committed');
    wrong.push(...(await check(client, keys, source, marks)));
  } finally {
    clearTimeout(deadline);
    ending.abort();
    for (const gate of gates.values()) await gate?.close();
  }
  return wrong.length === 0 ? undefined : wrong.join('; ');
}

/** Checks the queue: each message belongs to the newest term at its commit and follows the previous message. */
async function check(
  /** @type {any} */ client,
  /** @type {any} */ keys,
  /** @type {any} */ source,
  /** @type {Mark[]} */ marks,
) {
  const wrong = [];
  const total = Number((await client.get(keys.jobCounter)) ?? 0);
  const jobs = await Promise.all(
    Array.from({ length: total }, (_, index) => client.hget(keys.job(String(index + 1)), 'data')),
  );
  let last = 0;
  let half = false;
  for (const [index, data] of jobs.entries()) {
    if (data === null) {
      wrong.push(`job ${index + 1} is not there`);
      continue;
    }
    for (const mark of marks) if (mark.after === index && mark.start !== undefined) last = mark.start;
    const { n, term, instance } = JSON.parse(data);
    const mark = marks.filter(({ after }) => after <= index).at(-1);
    if (mark?.term !== term || mark?.instance !== instance)
      wrong.push(
        `job ${index + 1} is of term ${term} (${instance}) under term ${mark?.term} (${mark?.instance})`,
      );
    if (!half && n !== last + 1) wrong.push(`batch ${n} follows batch ${last}`);
    if (half && n !== last) wrong.push(`half of batch ${last} is missing`);
    last = n;
    half = !half;
  }
  for (const mark of marks) if (mark.after === total && mark.start !== undefined) last = mark.start;
  const { cursor, generated } = await client.hgetall(source.cursor);
  if (cursor !== String(last) || last !== BATCHES)
    wrong.push(`the cursor is ${cursor}, the last batch ${last}`);
  if (Number(generated) !== total) wrong.push(`${generated} messages counted, ${total} in the queue`);
  return wrong;
}

/**
 * Runs the schedules of these numbers, several at a time.
 *
 * @param {any} parts
 * @param {any} redis
 * @param {readonly number[]} indexes
 * @param {{ lanes?: number, prefix?: string, kills?: boolean, rewrite?: (keys: any) => (command: Buffer[], inTransaction: boolean) => Buffer[] }} [options]
 * `rewrite` removes a guard, `prefix` is the prefix of the namespaces
 * @returns {Promise<{ index: number, faults: readonly Fault[], wrong: string }[]>} the schedules that failed
 */
async function exploreAll(
  parts,
  redis,
  indexes,
  { kills = false, lanes = kills ? 1 : 64, prefix = 's', rewrite } = {},
) {
  const failed = /** @type {{ index: number, faults: readonly Fault[], wrong: string }[]} */ ([]);
  let next = 0;
  const lane = async () => {
    while (next < indexes.length) {
      const index = indexes[next++];
      const faults = scheduleOf(index);
      const options = { namespace: `${prefix}${index}`, kills, ...(rewrite && { rewrite }) };
      const wrong = await explore(parts, redis, faults, options).catch((error) => String(error));
      if (wrong !== undefined) failed.push({ index, faults, wrong });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return failed;
}

module.exports = { explore, exploreAll, scheduleOf, isIdle, restarts, COUNT };
