// A group of instances on one Redis, that come and go.
import { setTimeout as sleep } from 'node:timers/promises';
import { startInstance } from './processes.mjs';

/** Nothing that is waited for takes that long. */
const PATIENCE_MS = 60_000;

/** @param env of each instance, NAMESPACE among it; its name is its own */
export function openGroup(client, env) {
  const key = `{${env.NAMESPACE ?? 'nic'}}`;
  const instances = new Map();
  let started = 0;
  let died;

  /** Who leads, since which term, and which term has committed last. */
  async function state() {
    const [instance, term] = await client.hmget(`${key}:leader`, 'instance', 'term');
    const committed = await client.hget(`${key}:cursor`, 'term');
    return { instance, term: Number(term), committed: Number(committed) };
  }

  async function until(condition, ms = 20) {
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const value = await condition();
      if (value) return value;
      if (died !== undefined) throw new Error(`${died} ended by itself`);
      if (performance.now() > giveUpAt) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${condition}`);
      await sleep(ms);
    }
  }

  return {
    key,
    instances,
    state,
    until,
    start(more = {}, options) {
      const name = `i${++started}`;
      const show = (line) => process.stderr.write(`${name}: ${line}\n`);
      const instance = startInstance(name, { LOG_LEVEL: 'error', ...env, ...more }, show, options);
      instances.set(name, instance);
      void instance.exited.then(() => instances.has(name) && (died = name));
      return instance;
    },
    /** Resolves when each is connected. */
    async present() {
      const channels = [...instances.keys()].map((name) => `${key}:presence:${name}`);
      await until(async () => {
        const counts = await client.pubsub('NUMSUB', ...channels);
        return counts.filter((_, index) => index % 2 === 1).every((n) => n > 0);
      });
    },
    /** The leader, as soon as it is one of these. */
    leading: () =>
      until(async () => {
        const now = await state();
        return instances.has(now.instance) && now;
      }, 5),
    /** Takes an instance out of the group, which is then the caller's to end. */
    take(name) {
      const instance = instances.get(name);
      instances.delete(name);
      return instance;
    },
    async killAll() {
      const all = [...instances.values()];
      instances.clear();
      for (const instance of all) instance.kill('SIGKILL');
      await Promise.all(all.map(({ exited }) => exited));
    },
  };
}
