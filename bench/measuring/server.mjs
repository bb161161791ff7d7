// The Redis of a measurement: a separate server on a free port, in memory only.
import { startRedis } from '../../testkit/redis.cjs';
import { cpuSeconds } from '../../testkit/proc.cjs';

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
    /** Removes all traces of instances: the lease of a killed one would make others wait. */
    forgetInstances: () =>
      client.del(
        ...['lease', 'lease:keeper', 'leader', 'keeper', 'cursor', 'recorder', 'instances'].map(
          (name) => `{nic}:${name}`,
        ),
      ),
    cpuSeconds: () => cpuSeconds(redis.process.pid),
    /** Returns the calls by command name, including those from scripts. */
    async calls() {
      const found = (await client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g);
      return Object.fromEntries([...found].map(([, name, n]) => [name, Number(n)]));
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
