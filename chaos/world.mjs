// The parts of a run: Redis, the ledger, the instances, and the violations found.
import { appendFileSync, mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startInstance } from '../testkit/instances.cjs';
import { startRedis } from '../testkit/redis.cjs';
import { startSubject } from './subject.mjs';
import { openTrace } from './trace.mjs';

const require = createRequire(import.meta.url);
const { keysOf } = require('../dist/keys.js');

export const LEASE_TTL_MS = 5000;
/** Locks are renewed at half of this: a shorter disturbance costs no message its lock. */
export const JOB_LOCK_MS = 12_000;
const MAIN = resolve('dist/main.js');

/**
 * @param settings `env` is added to the environment of every instance; `sources` is the number of named sources, 0 for a
 * task without them
 */
export async function openWorld(mode, { env: given = {}, sources: count = 0 } = {}) {
  const logs = mkdtempSync(join(tmpdir(), 'nic-chaos-'));
  const socket = join(logs, 'ledger.sock');
  const subject = await startSubject(mode, logs);
  // No fault touches it; instances without a network reach it through its socket.
  const ledgerServer = await startRedis(['--save', '', '--unixsocket', socket]);
  const ledger = ledgerServer.client;
  const instances = [];
  const problems = [];
  const trace = openTrace();
  const keys = keysOf('nic');
  const names = count === 0 ? [undefined] : Array.from({ length: count }, (_, index) => `s${index + 1}`);
  const sources = names.map((name) => ({ name, keys: keys.source(name) }));
  const startedAt = performance.now();
  let client = await subject.connect();
  let started = 0;
  let closing = false;

  const world = {
    mode,
    subject,
    ledger,
    logs,
    instances,
    problems,
    trace,
    keys,
    /** Their names, undefined without named sources, and their keys. */
    sources,
    get client() {
      return client;
    },
    /** When Redis became reachable again, on the clock of `performance`. */
    redisBackAt: 0,
    async redisIsBack() {
      client = await subject.connect();
      world.redisBackAt = performance.now();
    },
    seconds: () => ((performance.now() - startedAt) / 1000).toFixed(1),
    violation: (text) => void problems.push(`at ${world.seconds()} s: ${text}`),
    note: (event) => ledger.rpush('events', JSON.stringify(event)),
    /** Sends a command to the task of an instance, or with `orders` of all instances. */
    order: (name, text) => ledger.publish(name, text),
    /** Starts another instance. */
    add,
    /** Removes an instance, which the caller must then stop. */
    remove: (instance) => void instances.splice(instances.indexOf(instance), 1),
    /** Returns who leads each source, in the order of `sources`, and the keeper; undefined where nobody does. */
    async leaders() {
      const records = [keys.keeper, ...sources.map((source) => source.keys)].map(({ leader }) => leader);
      const found = await answerOf(Promise.all(records.map((key) => client.hget(key, 'instance'))));
      const [keeper, ...generators] = records.map((_, index) => found?.[index] ?? undefined);
      return { keeper, generators };
    },
    /** Returns what has been committed of each source, in the order of `sources`. */
    async committed() {
      for (;;) {
        const read = ({ cursor }) => client.hmget(cursor, 'term', 'generated');
        const answer = await answerOf(Promise.all(sources.map((source) => read(source.keys))));
        if (answer)
          return answer.map(([term, generated]) => ({ term: Number(term), generated: Number(generated) }));
        await sleep(20);
      }
    },
    /** Resolves once something of every source has been committed. */
    async generating() {
      while ((await world.committed()).some(({ generated }) => generated === 0)) await sleep(20);
    },
    async close() {
      closing = true;
      for (const instance of instances.splice(0)) {
        instance.signal('SIGKILL');
        await instance.exited;
      }
      await Promise.all([subject.stop(), ledgerServer.stop()]);
    },
  };

  async function add() {
    const name = `i${++started}`;
    const { proxy, link, prefix, env, leave } = await subject.place(name);
    let board;
    const settings = {
      INSTANCE_NAME: name,
      LEDGER: socket,
      TASK: resolve('chaos/task.mjs'),
      LEASE_TTL_MS: String(LEASE_TTL_MS),
      JOB_LOCK_MS: String(JOB_LOCK_MS),
      KEEP_COMPLETED: '100000000',
      BOARD: 'on',
      BOARD_PORT: '0',
      ...(count > 0 && { SOURCES: names.join() }),
      ...given,
      ...env,
    };
    const onLine = (line) => {
      trace.add(line);
      if (line.includes('"url"')) board = /"url":"([^"]+)"/.exec(line)?.[1] ?? board;
      // The ledger has every handling, and the trace every commit.
      if (!closing && !line.includes('"committed"')) appendFileSync(join(logs, `${name}.log`), `${line}\n`);
    };
    const instance = startInstance(settings, [MAIN], undefined, { prefix, onLine });
    Object.assign(instance, { proxy, link });
    // The address of its board, once it has one.
    Object.defineProperty(instance, 'board', { get: () => board });
    void instance.exited.then((code) => {
      if (instances.includes(instance)) world.violation(`${name} ended by itself with ${code}`);
      return leave();
    });
    instances.push(instance);
    await instance.started();
  }
  return world;
}

/** Undefined on a timeout: a server that is no longer the master might never answer. */
export async function answerOf(promise, ms = 500) {
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, sleep(ms)]);
  } catch {
    return undefined;
  }
}
