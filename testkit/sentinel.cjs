const { startRedis } = require('./redis.cjs');
const { IN_MEMORY, PATIENCE_MS, insist, replicasAreIn, stopAll, succession } = require('./topology.cjs');
const { waitFor } = require('./waitFor.cjs');

const MASTER_NAME = 'mymaster';
/**
 * How long the master may be silent, in milliseconds. A Sentinel connects to a server at most once a second, so that with
 * less than that it takes a master that has just been promoted for dead, and promotes the other one again.
 */
const DOWN_AFTER_MS = 1500;

/**
 * Starts a master, its replicas, and three Sentinels that promote a replica when the master has been silent for a while.
 *
 * @param {{ replicas?: number, password?: string, sentinelPassword?: string }} [options]
 * @returns {Promise<import('./topology.cjs').Topology & { sentinels: import('./redis.cjs').RedisServer[] }>}
 */
async function startSentinels({ replicas = 1, password, sentinelPassword } = {}) {
  const login = password === undefined ? [] : ['--requirepass', password, '--masterauth', password];
  const settings = [...IN_MEMORY, ...login];
  const secret = password === undefined ? {} : { password };
  const first = await startRedis(settings, secret);
  const replica = ['--replicaof', `127.0.0.1 ${first.port}`];
  const others = await Promise.all(
    Array.from({ length: replicas }, () => startRedis([...settings, ...replica], secret)),
  );
  const servers = [first, ...others];
  await waitFor(() => replicasAreIn(first, replicas), 'the replicas', PATIENCE_MS);
  const configuration = [
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${first.port} 2`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER_NAME} 1000`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${MASTER_NAME} ${password}`]),
    ...(sentinelPassword === undefined ? [] : [`requirepass ${sentinelPassword}`]),
  ].join('\n');
  const sentinelSecret = sentinelPassword === undefined ? {} : { password: sentinelPassword };
  const sentinels = await Promise.all(
    [1, 2, 3].map(() => startRedis(['--sentinel'], { ...sentinelSecret, configuration })),
  );
  const ask = (sentinel, ...question) => sentinel.client.call('SENTINEL', ...question, MASTER_NAME);
  // A failover is possible only when all Sentinels know each other and the replicas.
  const introduced = async () => {
    const known = await Promise.all(
      sentinels.flatMap((sentinel) => [ask(sentinel, 'SENTINELS'), ask(sentinel, 'REPLICAS')]),
    );
    return known.every((list, index) => list.length === (index % 2 === 0 ? 2 : replicas));
  };
  await waitFor(introduced, 'the Sentinels to know each other', PATIENCE_MS);
  async function master() {
    const [, port] = await ask(sentinels[0], 'GET-MASTER-ADDR-BY-NAME');
    return servers.find((server) => server.port === Number(port));
  }
  return {
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER_NAME}`,
    servers,
    sentinels,
    master,
    succeeded: succession(master),
    async rejoin(old) {
      await old.restart();
      // The Sentinels would also tell it, some seconds later.
      await old.client.replicaof('127.0.0.1', (await master()).port);
    },
    replicated: () =>
      waitFor(async () => replicasAreIn(await master(), replicas), 'the replicas', PATIENCE_MS),
    handOver: () => insist(master, () => ask(sentinels[0], 'FAILOVER')),
    stop: () => stopAll([...sentinels, ...servers]),
  };
}

module.exports = { startSentinels };
