// The Redis of a measurement: a separate server on a free port, in memory only.
import { createRequire } from 'node:module';
import { startRedis } from '../../testkit/redis.cjs';
import { cpuSeconds } from '../../testkit/proc.cjs';

const require = createRequire(import.meta.url);
const { keysOf } = require('../../dist/keys.js');

export async function openServer() {
  const redis = await startRedis();
  const { client } = redis;
  return {
    port: redis.port,
    url: redis.url,
    client,
    /** Empties it, except for its cached scripts. */
    async clear() {
      await client.flushall();
      await client.config('RESETSTAT');
    },
    /**
     * Removes all traces of instances, but not the queue: the lease of a killed one would make others wait, and a cursor
     * that is missing while other traces exist stops generating.
     */
    forgetInstances() {
      const { keeper, source, roles, paused, recorder, instances, history } = keysOf('nic');
      return client.del(
        ...Object.values(keeper),
        ...Object.values(source()),
        ...[roles, paused, recorder, instances, history],
      );
    },
    cpuSeconds: () => cpuSeconds(redis.process.pid),
    /** Returns calls and microseconds by command name, including those from scripts. */
    async commandStats() {
      const found = (await client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+),usec=(\d+)/g);
      return Object.fromEntries(
        [...found].map(([, name, n, us]) => [name, { calls: Number(n), us: Number(us) }]),
      );
    },
    /** Memory in megabytes: now, and the peak since `clear`. */
    async memoryMb() {
      const info = await client.info('memory');
      const read = (name) => Number(new RegExp(`\\n${name}:(\\d+)`).exec(info)[1]) / 2 ** 20;
      return { used: read('used_memory'), peak: read('used_memory_peak') };
    },
    close: () => redis.stop(),
  };
}
