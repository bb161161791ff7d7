// The Redis of a measurement: one of our own, on a free port, in memory alone.
import { startRedis } from '../../testkit/redis.cjs';
import { cpuSeconds } from '../../testkit/proc.cjs';

export async function openServer() {
  const redis = await startRedis();
  const { client } = redis;
  return {
    port: redis.port,
    url: redis.url,
    client,
    /** As new, but for the scripts that it knows. */
    async clear() {
      await client.flushall();
      await client.config('RESETSTAT');
    },
    /** As if no instance had ever been here: the lease of one that was killed would make others wait. */
    forgetInstances: () =>
      client.del(
        ...['lease', 'lease:keeper', 'leader', 'keeper', 'cursor', 'recorder', 'instances'].map(
          (name) => `{nic}:${name}`,
        ),
      ),
    cpuSeconds: () => cpuSeconds(redis.process.pid),
    /** Calls by name, those from within scripts included. */
    async calls() {
      const found = (await client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g);
      return Object.fromEntries([...found].map(([, name, n]) => [name, Number(n)]));
    },
    /** Megabytes: now, and at most since `clear`. */
    async memoryMb() {
      const info = await client.info('memory');
      const read = (name) => Number(new RegExp(`\\n${name}:(\\d+)`).exec(info)[1]) / 2 ** 20;
      return { used: read('used_memory'), peak: read('used_memory_peak') };
    },
    close: () => redis.stop(),
  };
}
