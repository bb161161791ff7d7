// Code shared by Sentinel and Cluster.
const { setTimeout: sleep } = require('node:timers/promises');
const { waitFor } = require('./waitFor.cjs');

/** @typedef {import('./redis.cjs').RedisServer} RedisServer */

/**
 * @typedef {object} Topology
 * @property {string} url the value for REDISURL
 * @property {RedisServer[]} servers the servers that hold data
 * @property {(key?: string) => Promise<RedisServer>} master returns the current master of `key`
 * @property {(old: RedisServer) => Promise<unknown>} succeeded resolves when another server than `old` is the master
 * @property {(old: RedisServer) => Promise<void>} rejoin restarts a killed server as a replica
 * @property {() => Promise<unknown>} replicated resolves when every master has its replicas, with the same data
 * @property {() => Promise<void>} handOver promotes a replica by a planned failover
 * @property {() => Promise<void>} stop stops everything
 */

/** Replication starts without waiting for more replicas, and nothing is written to disk. */
const IN_MEMORY = ['--save', '', '--repl-diskless-sync-delay', '0'];
const TIMEOUT_MS = 20_000;

/** @param {() => Promise<RedisServer>} master */
const succession = (master) => (/** @type {RedisServer} */ old) =>
  waitFor(
    async () => (await master()) !== old && (await isMaster(await master())),
    'another master',
    TIMEOUT_MS,
  );

/**
 * Repeats the command until it succeeds: Redis gives up if no replica is ready.
 *
 * @param {() => Promise<RedisServer>} master
 * @param {(old: RedisServer) => Promise<unknown>} order
 */
async function insist(master, order) {
  const old = await master();
  for (let asked = 0; (await master()) === old; asked++) {
    if (asked % 100 === 0) await order(old).catch(() => undefined);
    await sleep(20);
  }
}

/** @param {RedisServer} server */
async function isMaster({ client }) {
  return (await client.info('replication')).includes('role:master');
}

/**
 * @param {RedisServer} server
 * @param {number} count
 */
async function replicasAreIn({ client }, count) {
  const info = await client.info('replication');
  return info.includes('role:master') && (info.match(/state=online/g) ?? []).length === count;
}

/** @param {RedisServer[]} servers */
async function stopAll(servers) {
  await Promise.all(servers.map((server) => server.stop()));
}

module.exports = { IN_MEMORY, TIMEOUT_MS, insist, isMaster, replicasAreIn, stopAll, succession };
