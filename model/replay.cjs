// Replays a counterexample of protocol.pml (model/schedules) with real committers, a real Redis and the gate: each step
// of the model is one decision of the gate, or one direct write.
//
// The gate removes a guard by rewriting commands in transit; the committer itself is unchanged.
const { startGate } = require('./gate.cjs');

/** How long to wait for the committer to send the next request of the model, in milliseconds. */
const TIMEOUT_MS = 400;
const NAMES = ['a', 'b', 'c'];

/** How the gate rewrites a command to remove a guard. `from`: a copy of the position that the committer holds. */
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
    // Only the last line of the script, without its checks.
    NO_COUNT_CHECK(command) {
      const script = command[1]?.toString() ?? '';
      if (!script.includes('INCOMPLETE')) return command;
      const last = script.trimEnd().split('\n').at(-1) ?? '';
      return [command[0], Buffer.from(last), ...command.slice(2)];
    },
    // As on a new socket: the same transaction without a WATCH.
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
    // Its WATCH is a separate step; UNWATCH has the same answer.
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

/** The effect on BullMQ's scripts after Redis has flushed its script cache. Those of the commit are sent as text. */
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
  /** Terms in the order in which they were taken, by source; a rewind has no holder. */
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
    const connector = new RedisConnector({ address: parseRedisUrl(leader.gate.url), key: keys.errors });
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
  /** The request that the committer has sent, or the answer that it is about to receive; undefined if there is none. */
  const pending = async (
    /** @type {any} */ leader,
    /** @type {string} */ side,
    /** @type {string} */ kind,
  ) => {
    const until = performance.now() + TIMEOUT_MS;
    for (;;) {
      const found = leader?.pending;
      if (found !== undefined && found.side === side && found.group.kind === kind) {
        leader.pending = undefined;
        return found;
      }
      const rest = until - performance.now();
      if (leader === undefined || leader.done || rest <= 0) return undefined;
      await new Promise((resolve) => {
        leader.wake = resolve;
        setTimeout(resolve, Math.min(rest, 50));
      });
    }
  };
  const untilPending = async (/** @type {any} */ leader) => {
    const until = performance.now() + TIMEOUT_MS;
    while (leader.pending === undefined && !leader.done && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 5));
  };
  /** Waits until Redis has answered the delivered requests. */
  const delivered = async (/** @type {any} */ leader, /** @type {string} */ kind) => {
    const answer = await pending(leader, 'answer', kind);
    leader.answer = answer;
    await observe();
    return answer !== undefined;
  };
  let seenJobs = 0;
  let last = sources.map(() => 0);
  /** The assertions of protocol.pml, which must hold after every commit. */
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
          // As on a new connection: nothing is watched.
          leader.gate.inject('UNWATCH');
          return true;
        }
        // Whatever the committer asks besides has been answered: it has come to its next request.
        if (!leader.answer && !leader.sent) await untilPending(leader);
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
