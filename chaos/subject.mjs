// The Redis under test, in one of its forms.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { startCluster } from '../testkit/cluster.cjs';
import { startProxy } from '../testkit/proxy.cjs';
import { DURABLE, startRedis } from '../testkit/redis.cjs';
import { startSentinels } from '../testkit/sentinel.cjs';
import { openNetwork } from './network.mjs';

/**
 * @param logs the directory where Sentinels, whose decisions explain much, log
 * @returns `connect()` returns a client of the current master, `place(name)` how an instance reaches Redis: its
 * environment, the command that runs it, and the controls of its link or proxy
 */
export async function startSubject(mode, logs) {
  if (mode === 'sentinel') {
    const topology = await startSentinels();
    for (const [index, { process }] of topology.sentinels.entries())
      process.stdout.on('data', (text) => appendFileSync(join(logs, `sentinel-${index + 1}.log`), text));
    return several(topology);
  }
  if (mode === 'cluster') return several(await startCluster({ masters: 3, replicas: 1 }));
  // The fault of failed saves changes the directory.
  const args = [...DURABLE, '--enable-protected-configs', 'local'];
  if (mode === 'network') {
    const network = openNetwork();
    const server = await startRedis([...args, '--protected-mode', 'no'], { host: network.address });
    return {
      ...single(server),
      place: (name) => network.join(name, server.port),
      async stop() {
        await server.stop();
        network.close();
      },
    };
  }
  const server = await startRedis(args);
  return {
    ...single(server),
    async place() {
      const proxy = await startProxy(server.port);
      return { proxy, env: { REDISURL: proxy.url }, leave: () => proxy.close() };
    },
  };
}

function single(server) {
  return {
    server,
    connect: async () => server.client,
    stop: () => server.stop(),
  };
}

function several(topology) {
  return {
    topology,
    connect: async () => (await topology.master()).client,
    place: async () => ({ env: { REDISURL: topology.url }, leave: () => undefined }),
    stop: () => topology.stop(),
  };
}
