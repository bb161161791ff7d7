// Replays a counterexample of protocol.pml (model/schedules) with real committers, a real Redis and the gate: each step
// of the model is one decision of the gate, or one write of a test's own.
//
// A guard is taken out by the gate, which rewrites commands on their way; the committer itself stays as it is.
const { setTimeout: sleep } = require('node:timers/promises');
const { startGate } = require('./gate.cjs');

/**
 * How long the committer may take to send anything at all, in milliseconds. Whether it takes part in a step is decided by
 * what it sends, or by its end: this is only for one that hangs.
 */
const PATIENCE_MS = 10_000;
const NAMES = ['a', 'b', 'c'];

/** What the gate makes of a command when a guard is taken out. `from`: a copy of the position that the committer holds. */
const WITHOUT =
  /** @type {Record<string, (command: Buffer[], inTransaction: boolean, names: any) => Buffer[]>} */ ({
    NO_WATCH_LEADER: (command, _, { leader }) => unwatched(command, leader),
    NO_WATCH_CURSOR: (command, _, { cursor }) => unwatched(command, cursor),
    NO_WATCH_PAUSED: (command, _, { paused }) => unwatched(command, paused),
    NO_TERM_CHECK: (command, inTransaction, { leader, own }) => readFrom(command, inTransaction, leader, own),
    NO_INSTANCE_CHECK: (command, inTransaction, { leader, own }) =>
      readFrom(command, inTransaction, leader, own),
    NO_PAUSED_CHECK: (command, inTransaction, { paused, nothing }) =>
      readFrom(command, inTransaction, paused, nothing),
    NO_POSITION_CHECK: (command, inTransaction, { cursor, from }) =>
      readFrom(command, inTransaction, cursor, from),
    NO_LOOKUP: (command, inTransaction, { cursor, from }) => readFrom(command, inTransaction, cursor, from),
    // Checks nothing: the script's last line alone.
    NO_COUNT_CHECK(command) {
      const script = command[1]?.toString() ?? '';
      if (!script.includes('INCOMPLETE')) return command;
      const last = script.trimEnd().split('\n').at(-1) ?? '';
      return [command[0], Buffer.from(last), ...command.slice(2)];
    },
    // What a new socket would carry: the same transaction, and no WATCH.
    RECONNECTING_COMMIT: (command) => command,
    REWIND_WITHOUT_TERM: (command) => command,
    READ_BEFORE_TERM: (command) => command,
    COUNT_FROM_SNAPSHOT(command, _, { counter }) {
      const script = command[1]?.toString() ?? '';
      if (!script.includes("'counted', redis.call('GET', KEYS[2])")) return command;
      return [
        command[0],
        Buffer.from(script.replace("redis.call('GET', KEYS[2])", `'${counter}'`)),
        ...command.slice(2),
      ];
    },
    // Its WATCH follows as a step of its own; what UNWATCH answers is the same.
    READ_BEFORE_WATCH: (command) =>
      command[0].toString().toUpperCase() === 'WATCH' ? [Buffer.from('UNWATCH')] : command,
  });

function unwatched(/** @type {Buffer[]} */ command, /** @type {string} */ key) {
  if (command[0].toString().toUpperCase() !== 'WATCH') return command;
  return command.filter((part) => part.toString() !== key);
}

function readFrom(
  /** @type {Buffer[]} */ command,
  /** @type {boolean} */ inTransaction,
  /** @type {string} */ key,
  /** @type {string} */ instead,
) {
  if (inTransaction || command[0].toString().toUpperCase() !== 'EVAL') return command;
  return command.map((part) => (part.toString() === key ? Buffer.from(instead) : part));
}

/** What a script of BullMQ's comes to once Redis has forgotten its scripts. Those of the commit are sent as text. */
function unknownScript(/** @type {Buffer[]} */ command) {
  const isScript = command[0].toString().toUpperCase().startsWith('EVAL');
  const isOwn = /counted/.test(command[1]?.toString() ?? '');
  return isScript && !isOwn
    ? [Buffer.from('EVALSHA'), Buffer.from('f'.repeat(40)), ...command.slice(2)]
    : command;
}

/**
 * @param {any} parts as in explorer.cjs
 * @param {{ port: number, client: any }} redis
 * @param {{ guard: string, steps: string[], sources?: number }} schedule
 * @param {{ namespace: string, without: boolean }} options
 * @returns {Promise<{ violations: string[], refused: string | undefined }>} `refused`: the step that the real committer
 * did not take part in
 */
async function replay(parts, redis, schedule, { namespace, without }) {
  const { guard, steps } = schedule;
  const { Committer, keysOf, RedisConnector, parseRedisUrl, encode } = parts;
  const { client } = redis;
  const keys = keysOf(namespace);
  const sources = Array.from({ length: schedule.sources ?? 1 }, (_, s) =>
    keys.source(schedule.sources === undefined ? undefined : `s${s}`),
  );
  const sourceOf = (/** @type {number} */ i) => i % sources.length;
  const violations = /** @type {string[]} */ ([]);
  /** Terms as they were taken, by source; whoever rewinds is nobody. */
  let newest = sources.map(() => ({ term: 0, instance: '' }));
  let rewound = 0;
  let pausedAt = /** @type {number | undefined} */ (undefined);
  let saved = /** @type {any} */ (undefined);
  const leaders = /** @type {any[]} */ ([]);
  /** Positions that were read before a term was taken. */
  const early = /** @type {any[]} */ ([]);
  const names = (/** @type {string} */ instance) => ({
    leader: sources[sourceOf(NAMES.indexOf(instance))].leader,
    cursor: sources[sourceOf(NAMES.indexOf(instance))].cursor,
    paused: keys.paused,
    own: `{${namespace}}-own:${instance}`,
    from: `{${namespace}}:from:${instance}`,
    nothing: `{${namespace}}:nothing`,
  });

  const copyPosition = async (/** @type {any} */ leader) => {
    const { cursor, from } = names(leader.instance);
    await client.multi().del(from).copy(cursor, from).exec();
  };
  const lead = async (/** @type {number} */ i) => {
    const instance = NAMES[i];
    const source = sources[sourceOf(i)];
    const [[, term]] = await client
      .multi()
      .hincrby(source.leader, 'term', 1)
      .hset(source.leader, 'instance', instance)
      .exec();
    newest[sourceOf(i)] = { term, instance };
    const own = { ...names(instance), counter: '0' };
    await client.hset(own.own, { instance, term });
    const leader = /** @type {any} */ ({
      instance,
      source: sourceOf(i),
      own,
      term,
      ending: new AbortController(),
      done: false,
      rewound,
      early: early[i],
    });
    const seen = (/** @type {string} */ side) => (/** @type {any} */ group) =>
      new Promise((resolve) => {
        leader.pending = { side, group, resolve };
        leader.wake?.();
      });
    const rewrite = (/** @type {Buffer[]} */ command, /** @type {boolean} */ inTransaction) => {
      const sent = leader.flushed && inTransaction ? unknownScript(command) : command;
      return without ? WITHOUT[guard](sent, inTransaction, own) : sent;
    };
    leader.gate = await startGate(redis.port, { request: seen('request'), answer: seen('answer'), rewrite });
    const connector = new RedisConnector({ address: parseRedisUrl(leader.gate.url), key: keys.lease });
    const logger = { error() {}, warn() {}, info() {}, debug() {}, child: () => logger };
    const committer = new Committer({
      connect: () => connector.connect('commit'),
      keys,
      source,
      jobName: 'message',
      instance,
      term: { number: term, signal: leader.ending.signal, isTrusted: () => true },
      jobOptions: {},
      maxBacklog: 1000,
      logger,
    });
    leaders[i] = leader;
    leader.running = generate(committer, leader)
      .catch(() => undefined)
      .finally(() => {
        leader.done = true;
        leader.wake?.();
      });
  };
  const generate = async (/** @type {any} */ committer, /** @type {any} */ leader) => {
    let position = leader.early ?? (await committer.position());
    leader.rewound = leader.early?.rewound ?? leader.readRewound;
    while (!leader.ending.signal.aborted) {
      const n = Number(position.cursorJson ?? 0) + 1;
      const { term, instance, source, rewound: since } = leader;
      const result = await committer.commit(position, encode([{ n, term, instance, source, since }], n));
      if (result.outcome === 'paused') return;
      position = result.outcome === 'committed' ? result.position : await committer.position();
    }
  };
  /** Resolves once that is so, the committer has ended, or patience has. */
  const waitFor = async (/** @type {any} */ leader, /** @type {() => boolean} */ isSo) => {
    const until = performance.now() + PATIENCE_MS;
    for (let rest = PATIENCE_MS; !isSo() && !leader.done && rest > 0; rest = until - performance.now()) {
      const patience = new AbortController();
      await Promise.race([
        new Promise((resolve) => (leader.wake = resolve)),
        sleep(rest, undefined, patience).catch(() => undefined),
      ]);
      patience.abort();
    }
  };
  /** What the committer has sent, or is about to hear; undefined if it does no such thing. */
  const pending = async (
    /** @type {any} */ leader,
    /** @type {string} */ side,
    /** @type {string} */ kind,
  ) => {
    if (leader === undefined) return undefined;
    await waitFor(leader, () => leader.pending !== undefined);
    const found = leader.pending;
    // It sends nothing else until what it has sent is decided.
    if (found === undefined || found.side !== side || found.group.kind !== kind) return undefined;
    leader.pending = undefined;
    return found;
  };
  /** Waits until what was delivered has been answered by Redis. */
  const delivered = async (/** @type {any} */ leader, /** @type {string} */ kind) => {
    const answer = await pending(leader, 'answer', kind);
    leader.answer = answer;
    await observe();
    return answer !== undefined;
  };
  let seenJobs = 0;
  let last = sources.map(() => 0);
  /** What must hold whenever something was committed: protocol.pml's assertions. */
  const observe = async () => {
    const total = Number((await client.get(keys.jobCounter)) ?? 0);
    for (; seenJobs < total; seenJobs++) {
      const { n, term, instance, source, since } = JSON.parse(
        await client.hget(keys.job(String(seenJobs + 1)), 'data'),
      );
      const leads = newest[source];
      if (term !== leads.term || instance !== leads.instance)
        violations.push(
          `term ${term} of ${instance} committed under term ${leads.term} of ${leads.instance}`,
        );
      if (pausedAt !== undefined) violations.push('committed while paused');
      if (since !== rewound) violations.push('a batch from before the rewind was committed after it');
      if (n !== last[source] + 1) violations.push(`batch ${n} follows batch ${last[source]}`);
      last[source] = n;
    }
    for (const [s, source] of sources.entries()) {
      const cursor = Number((await client.hget(source.cursor, 'cursor')) ?? 0);
      if (cursor !== last[s])
        violations.push(`the cursor is ${cursor}, the last batch in the queue ${last[s]}`);
    }
  };
  const sendTwice = without && guard === 'RECONNECTING_COMMIT';

  const take = async (/** @type {string} */ step, /** @type {number} */ i) => {
    const leader = leaders[i];
    switch (step) {
      case 'term':
        await lead(i);
        return true;
      case 'early': {
        if (!without) return true;
        const { cursor: cursorJson, generated = 0 } = await client.hgetall(sources[sourceOf(i)].cursor);
        early[i] = { generated: Number(generated), cursorJson, rewound };
        return true;
      }
      case 'onlyWatch':
        if (!without) return true;
        leader.gate.inject('UNWATCH');
        leader.gate.inject('WATCH', leader.own.leader, leader.own.cursor, keys.paused);
        return true;
      case 'onlyRead':
      case 'watch': {
        const request = await pending(leader, 'request', 'read');
        leader.readRewound = rewound;
        leader.own.counter = (await client.get(keys.jobCounter)) ?? '0';
        request?.resolve('deliver');
        return request !== undefined && (await delivered(leader, 'read'));
      }
      case 'snapshot': {
        if (leader.answer === undefined) return false;
        if (leader.copied === undefined) leader.copied = await copyPosition(leader).then(() => true);
        leader.answer.resolve('deliver');
        leader.answer = undefined;
        // Heard, once the committer goes on: a connection that is cut earlier would take the answer with it.
        await waitFor(leader, () => leader.pending !== undefined);
        return true;
      }
      case 'send':
        leader.sent = await pending(leader, 'request', 'transaction');
        return leader.sent !== undefined;
      case 'flush':
        leader.flushed = true;
      // falls through
      case 'exec': {
        const request = leader.sent ?? (await pending(leader, 'request', 'transaction'));
        leader.sent = undefined;
        request?.resolve('deliver');
        return request !== undefined && (await delivered(leader, 'transaction'));
      }
      case 'answer':
        await copyPosition(leader);
        leader.answer?.resolve('deliver');
        leader.answer = undefined;
        return true;
      case 'lose':
        if (sendTwice && leader.sent) {
          // What a new connection would be: nothing is watched.
          leader.gate.inject('UNWATCH');
          return true;
        }
        leader.gate.cutAll();
        for (const held of [leader.answer, leader.sent, leader.pending]) held?.resolve('lost');
        leader.answer = leader.sent = leader.pending = undefined;
        return true;
      case 'abandon':
        leader.sent?.resolve('late');
        leader.sent = undefined;
        return true;
      case 'late':
        await leader.gate.deliverLate();
        await observe();
        return true;
      case 'pause':
        pausedAt = seenJobs;
        await client.hset(keys.paused, 'generating', 'x');
        return true;
      case 'resume':
        pausedAt = undefined;
        await client.hdel(keys.paused, 'generating');
        return true;
      case 'rewind': {
        rewound++;
        last[0] = i;
        const [source] = sources;
        const writing = client.multi();
        if (i === 0) writing.hdel(source.cursor, 'cursor').hset(source.cursor, 'generated', 0);
        else writing.hset(source.cursor, { cursor: i, generated: i });
        if (!(without && guard === 'REWIND_WITHOUT_TERM')) {
          writing.hincrby(source.leader, 'term', 1).hset(source.leader, 'instance', 'operator');
          newest[0] = { term: newest[0].term + 1, instance: 'operator' };
        }
        await writing.exec();
        return true;
      }
      case 'save': {
        const all = await client.keys(`{${namespace}}:*`);
        saved = {
          newest: [...newest],
          rewound,
          pausedAt,
          last: [...last],
          seenJobs,
          dumps: await Promise.all(
            all.map(async (/** @type {string} */ key) => [key, await client.dumpBuffer(key)]),
          ),
        };
        return true;
      }
      case 'restart': {
        for (const each of leaders) each?.gate.cutAll();
        const all = await client.keys(`{${namespace}}:*`);
        if (all.length > 0) await client.del(...all);
        for (const [key, dump] of saved.dumps) await client.restore(key, 0, dump);
        ({ newest, rewound, pausedAt, last, seenJobs } = saved);
        for (const each of leaders) each?.pending?.resolve('lost');
        for (const each of leaders) if (each) each.pending = undefined;
        return true;
      }
      case 'end':
        leader.ending.abort();
        return true;
      default:
        throw new Error(`unknown step ${step}`);
    }
  };

  let refused;
  try {
    for (const text of steps) {
      const [step, argument] = text.split(' ');
      if (!(await take(step, Number(argument ?? 0)))) {
        refused = text;
        break;
      }
    }
    await observe();
  } finally {
    for (const leader of leaders) {
      if (leader === undefined) continue;
      leader.ending.abort();
      await leader.gate.close();
      for (const held of [leader.answer, leader.sent, leader.pending]) held?.resolve('lost');
      await leader.running;
    }
  }
  return { violations, refused };
}

module.exports = { replay, WITHOUT };
