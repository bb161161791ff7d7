// A group of instances on one Redis that can join and leave.
import { resolve } from 'node:path';
import { killAndWait } from '../../testkit/children.cjs';
import { startInstance } from '../../testkit/instances.cjs';
import { waitFor } from '../../testkit/waitFor.cjs';

/** Timeout for every wait, in milliseconds. */
const TIMEOUT_MS = 60_000;

/** @param env the environment of each instance, including NAMESPACE; its name is added */
export function openGroup(client, env) {
  const key = `{${env.NAMESPACE ?? 'nic'}}`;
  const instances = new Map();
  let started = 0;
  let died;

  /** Returns the leader, its term, and the term of the last commit. */
  async function state() {
    const [instance, term] = await client.hmget(`${key}:leader`, 'instance', 'term');
    const committed = await client.hget(`${key}:cursor`, 'term');
    return { instance, term: Number(term), committed: Number(committed) };
  }

  const until = (condition, ms = 20) =>
    waitFor(
      () => {
        if (died !== undefined) throw new Error(`${died} ended by itself`);
        return condition();
      },
      String(condition),
      TIMEOUT_MS,
      ms,
    );

  return {
    key,
    instances,
    state,
    until,
    start(more = {}, { nodeArgs = [], onMessage } = {}) {
      const name = `i${++started}`;
      const onLine = (line) => process.stderr.write(`${name}: ${line}\n`);
      const settings = { INSTANCE_NAME: name, LOG_LEVEL: 'error', ...env, ...more };
      const args = [...nodeArgs, resolve('dist/main.js')];
      const instance = startInstance(settings, args, undefined, { onLine, onMessage });
      instances.set(name, instance);
      void instance.exited.then(() => instances.has(name) && (died = name));
      return instance;
    },
    /** Resolves when every instance is connected. */
    async present() {
      const channels = [...instances.keys()].map((name) => `${key}:presence:${name}`);
      await until(async () => {
        const counts = await client.pubsub('NUMSUB', ...channels);
        return counts.filter((_, index) => index % 2 === 1).every((n) => n > 0);
      });
    },
    /** Resolves with the leader as soon as it is one of these. */
    leading: () =>
      until(async () => {
        const now = await state();
        return instances.has(now.instance) && now;
      }, 5),
    /** Resolves when one of these is the keeper. */
    keeping: () => until(async () => instances.has(await client.hget(`${key}:keeper`, 'instance')), 5),
    /** Takes an instance out of the group, which is then the caller's to end. */
    take(name) {
      const instance = instances.get(name);
      instances.delete(name);
      return instance;
    },
    async killAll() {
      const all = [...instances.values()];
      instances.clear();
      await Promise.all(all.map((instance) => killAndWait(instance.process)));
    },
  };
}
