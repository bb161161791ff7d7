const { setTimeout: sleep } = require('node:timers/promises');
const { freePort } = require('./ports.cjs');
const { startRedis } = require('./redis.cjs');
const {
  IN_MEMORY,
  PATIENCE_MS,
  insist,
  isMaster,
  replicasAreIn,
  stopAll,
  succession,
} = require('./topology.cjs');
const { waitFor } = require('./waitFor.cjs');

/** @typedef {import('./redis.cjs').RedisServer} RedisServer */

/**
 * @param {{ masters?: number, replicas?: number, args?: string[] }} [options] `replicas` of each master
 * @returns {Promise<import('./topology.cjs').Topology>}
 */
async function startCluster({ masters = 3, replicas = 0, args = [] } = {}) {
  const servers = await Promise.all(
    Array.from({ length: masters * (1 + replicas) }, async () =>
      startRedis([
        ...['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())],
        ...['--cluster-node-timeout', '1000', '--cluster-require-full-coverage', 'no'],
        ...IN_MEMORY,
        ...args,
      ]),
    ),
  );
  await join(servers, masters);
  const master = (key = '{nic}') => masterOf(servers, key);
  const complete = async () => {
    const roles = await Promise.all(servers.map(isMaster));
    const found = servers.filter((_, index) => roles[index]);
    const counts = await Promise.all(found.map((server) => replicasAreIn(server, replicas)));
    return found.length === masters && counts.every(Boolean);
  };
  return {
    url: `redis+cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    servers,
    master,
    succeeded: succession(master),
    rejoin: (old) => old.restart(),
    replicated: () => waitFor(complete, 'the replicas of every master', PATIENCE_MS),
    handOver: () =>
      insist(master, async ({ port }) => {
        const infos = await Promise.all(servers.map(({ client }) => client.info('replication')));
        const replica = infos.findIndex((info) => info.includes(`master_port:${port}`));
        await servers[replica].client.cluster('FAILOVER');
      }),
    stop: () => stopAll(servers),
  };
}

/**
 * Makes a Cluster of the servers; the first `masters` of them share the slots.
 *
 * @param {RedisServer[]} servers
 * @param {number} masters
 */
async function join(servers, masters) {
  const ids = await Promise.all(servers.map(({ client }) => client.cluster('MYID')));
  const share = Math.ceil(16384 / masters);
  for (const [index, { client }] of servers.entries()) {
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    if (index >= masters) continue;
    await client.call('CLUSTER', 'ADDSLOTSRANGE', index * share, Math.min((index + 1) * share, 16384) - 1);
  }
  const [{ client: first }] = servers;
  for (const { client, port } of servers.slice(1)) {
    const bus = (await client.config('GET', 'cluster-port'))[1];
    await first.call('CLUSTER', 'MEET', '127.0.0.1', port, bus);
  }
  const introduced = async () => {
    const nodes = await Promise.all(servers.map(({ client }) => client.cluster('NODES')));
    const connected = (text) => (text.match(/ connected/g) ?? []).length;
    return nodes.every((text) => connected(text) === servers.length && !text.includes('handshake'));
  };
  await waitFor(introduced, 'the servers to know each other', PATIENCE_MS);
  for (const [index, { client }] of servers.entries()) {
    if (index >= masters) await client.call('CLUSTER', 'REPLICATE', ids[index % masters]);
  }
  const ready = async () => {
    const infos = await Promise.all(servers.map(({ client }) => client.cluster('INFO')));
    const links = await Promise.all(servers.slice(masters).map(({ client }) => client.info('replication')));
    return (
      infos.every((info) => info.includes('cluster_state:ok')) &&
      links.every((info) => info.includes('master_link_status:up'))
    );
  };
  await waitFor(ready, 'the Cluster', PATIENCE_MS);
}

/**
 * Decides by majority: a paused server does not answer, and one that has just resumed can have a stale view.
 *
 * @param {RedisServer[]} servers
 * @param {string} key
 */
async function masterOf(servers, key) {
  const votes = new Map();
  const asked = servers.map(async ({ client }) => {
    const slot = await client.cluster('KEYSLOT', key);
    const [, , [, port]] = (await client.cluster('SLOTS')).find(([from, to]) => from <= slot && slot <= to);
    votes.set(port, (votes.get(port) ?? 0) + 1);
  });
  await Promise.race([Promise.allSettled(asked), sleep(300)]);
  const [port] = [...votes].sort(([, a], [, b]) => b - a)[0] ?? [];
  return servers.find((server) => server.port === port) ?? servers[0];
}

module.exports = { startCluster };
