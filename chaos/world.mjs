// What a run consists of: Redis, the ledger, the instances, and what has been found wrong.
import { appendFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startInstance } from '../testkit/instances.cjs';
import { startRedis } from '../testkit/redis.cjs';
import { startSubject } from './subject.mjs';
import { openTrace } from './trace.mjs';

export const LEASE_TTL_MS = 5000;
/** Renewed at half of it: a disturbance that lasts less than that half costs nobody the lock of a message. */
export const JOB_LOCK_MS = 12_000;
const MAIN = resolve('dist/main.js');

/** @param settings `env` is added to the environment of every instance */
export async function openWorld(mode, { env: given = {} } = {}) {
  const logs = mkdtempSync(join(tmpdir(), 'nic-chaos-'));
  const socket = join(logs, 'ledger.sock');
  const subject = await startSubject(mode);
  // No fault touches it; by its socket also who is cut off from the network reaches it.
  const ledgerServer = await startRedis(['--save', '', '--unixsocket', socket]);
  const ledger = ledgerServer.client;
  const instances = [];
  const problems = [];
  const trace = openTrace();
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
    get client() {
      return client;
    },
    /** When Redis could be reached again, on performance's clock. */
    redisBackAt: 0,
    async redisIsBack() {
      client = await subject.connect();
      world.redisBackAt = performance.now();
    },
    seconds: () => ((performance.now() - startedAt) / 1000).toFixed(1),
    violation: (text) => void problems.push(`at ${world.seconds()} s: ${text}`),
    note: (event) => ledger.rpush('events', JSON.stringify(event)),
    /** Tells an instance, or with `orders` all of them, what its task is to do. */
    order: (name, text) => ledger.publish(name, text),
    /** Resolves when one more instance has started. */
    add,
    /** Its end is the caller's from now on. */
    remove: (instance) => void instances.splice(instances.indexOf(instance), 1),
    /** Who leads: of the generator's and the keeper's role, as far as this build has both. */
    async leaders() {
      const names = await answerOf(
        Promise.all([client.hget('{nic}:leader', 'instance'), client.hget('{nic}:keeper', 'instance')]),
      );
      return { generator: names?.[0] ?? undefined, keeper: names?.[1] ?? undefined };
    },
    async committed() {
      for (;;) {
        const answer = await answerOf(client.hmget('{nic}:cursor', 'term', 'generated'));
        if (answer) return { term: Number(answer[0] ?? 0), generated: Number(answer[1] ?? 0) };
        await sleep(20);
      }
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
      ...given,
      ...env,
    };
    const onLine = (line) => {
      trace.add(line);
      if (line.includes('"url"')) board = /"url":"([^"]+)"/.exec(line)?.[1] ?? board;
      // What happens with each message is in the ledger, and each commit in the trace.
      if (!closing && !line.includes('"committed"')) appendFileSync(join(logs, `${name}.log`), `${line}\n`);
    };
    const instance = startInstance(settings, [MAIN], undefined, { prefix, onLine });
    Object.assign(instance, { proxy, link });
    // What it is asked through, once it has a board.
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

/** Undefined if there is none: a server that is not the master any more may never answer. */
export async function answerOf(promise, ms = 500) {
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, sleep(ms)]);
  } catch {
    return undefined;
  }
}
