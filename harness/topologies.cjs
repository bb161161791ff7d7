// Redis as several servers, all on loopback and all our own: a master with replicas and Sentinels, and a Cluster.
// Shared by the tests and the fault injection.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { Redis } = require('ioredis');

const MASTER_NAME = 'mymaster';

/**
 * @typedef {object} Server
 * @property {number} port
 * @property {import('ioredis').Redis} client for the caller's own questions; connects again by itself
 * @property {import('node:child_process').ChildProcess} process
 * @property {() => Promise<void>} start again, after `kill`, with the same data
 * @property {() => Promise<void>} kill ends it at once, as a crash would
 * @property {() => Promise<void>} stop ends it and removes its data
 */

/**
 * @typedef {object} Topology
 * @property {string} url what REDISURL is to be
 * @property {Server[]} servers those that hold data
 * @property {(key?: string) => Promise<Server>} master the one that holds `key` now
 * @property {(old: Server) => Promise<void>} succeeded resolves when another server than `old` has become the master
 * @property {(old: Server) => Promise<void>} rejoin starts one that was killed, as a replica
 * @property {() => Promise<void>} replicated resolves when every master has its replicas, with the same data
 * @property {() => Promise<void>} handOver has a replica take its master's place, in order
 * @property {() => Promise<void>} stop ends all of it
 */

async function freePort() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/**
 * @param {string[]} args
 * @param {{ password?: string, configuration?: string }} [options] `configuration` goes into a file of its own
 * @returns {Promise<Server>}
 */
async function startServer(args, { password, configuration } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'nic-redis-'));
  const port = await freePort();
  const client = new Redis({
    port,
    password,
    lazyConnect: true,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
  });
  const file = join(directory, 'server.conf');
  if (configuration !== undefined) writeFileSync(file, `${configuration}\n`);
  const first = configuration === undefined ? [] : [file];
  client.on('error', () => undefined);
  let child;
  const server = {
    port,
    client,
    get process() {
      return child;
    },
    async start() {
      child = spawn(
        'redis-server',
        [...first, '--port', String(port), '--bind', '127.0.0.1', '--dir', directory, ...args],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      let output = '';
      await new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', () => reject(new Error(`redis-server ended: ${output}`)));
        child.stdout.on('data', (chunk) => {
          output += chunk;
          if (/Ready to accept connections|Sentinel ID is/.test(output)) resolve(undefined);
        });
      });
      child.removeAllListeners('exit').stdout.removeAllListeners('data').resume();
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    async stop() {
      client.disconnect();
      await server.kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await server.start();
  await client.connect();
  return server;
}

/**
 * One master, replicas of it, and three Sentinels that promote a replica when the master has been away for half a
 * second.
 *
 * @param {{ replicas?: number, password?: string, sentinelPassword?: string }} [options]
 * @returns {Promise<Topology & { sentinels: Server[] }>}
 */
async function startSentinels({ replicas = 1, password, sentinelPassword } = {}) {
  const login = password === undefined ? [] : ['--requirepass', password, '--masterauth', password];
  const settings = ['--save', '', '--repl-diskless-sync-delay', '0', ...login];
  const first = await startServer(settings, { password });
  const replica = ['--replicaof', `127.0.0.1 ${first.port}`];
  const others = await Promise.all(
    Array.from({ length: replicas }, () => startServer([...settings, ...replica], { password })),
  );
  const servers = [first, ...others];
  await until(() => replicasAreIn(first, replicas));
  const configuration = [
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${first.port} 2`,
    `sentinel down-after-milliseconds ${MASTER_NAME} 500`,
    `sentinel failover-timeout ${MASTER_NAME} 1000`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${MASTER_NAME} ${password}`]),
    ...(sentinelPassword === undefined ? [] : [`requirepass ${sentinelPassword}`]),
  ].join('\n');
  const sentinels = await Promise.all(
    [1, 2, 3].map(() => startServer(['--sentinel'], { password: sentinelPassword, configuration })),
  );
  const ask = (sentinel, ...question) => sentinel.client.call('SENTINEL', ...question, MASTER_NAME);
  // Only when all know of each other and of the replicas is there anybody to promote.
  await until(async () => {
    const known = await Promise.all(
      sentinels.flatMap((sentinel) => [ask(sentinel, 'SENTINELS'), ask(sentinel, 'REPLICAS')]),
    );
    return known.every((list, index) => list.length === (index % 2 === 0 ? 2 : replicas));
  });
  async function master() {
    const [, port] = await ask(sentinels[0], 'GET-MASTER-ADDR-BY-NAME');
    return servers.find((server) => server.port === Number(port));
  }
  return {
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER_NAME}`,
    servers,
    sentinels,
    master,
    succeeded: (old) => until(async () => (await master()) !== old && (await isMaster(await master()))),
    async rejoin(old) {
      await old.start();
      // The Sentinels would tell it so as well, some seconds later.
      await old.client.replicaof('127.0.0.1', (await master()).port);
    },
    replicated: () => until(async () => replicasAreIn(await master(), replicas)),
    handOver: () => insist(master, () => ask(sentinels[0], 'FAILOVER')),
    stop: () => stopAll([...sentinels, ...servers]),
  };
}

/**
 * @param {{ masters?: number, replicas?: number, args?: string[] }} [options] `replicas` of each master
 * @returns {Promise<Topology>}
 */
async function startCluster({ masters = 3, replicas = 0, args = [] } = {}) {
  const servers = await Promise.all(
    Array.from({ length: masters * (1 + replicas) }, async () =>
      startServer([
        ...['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())],
        ...['--cluster-node-timeout', '1000', '--cluster-require-full-coverage', 'no'],
        ...['--save', '', '--repl-diskless-sync-delay', '0', ...args],
      ]),
    ),
  );
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
  const know = async (count) => {
    const nodes = await Promise.all(servers.map(({ client }) => client.cluster('NODES')));
    return nodes.every(
      (text) => (text.match(/ connected/g) ?? []).length === count && !text.includes('handshake'),
    );
  };
  await until(() => know(servers.length));
  for (const [index, { client }] of servers.entries()) {
    if (index >= masters) await client.call('CLUSTER', 'REPLICATE', ids[index % masters]);
  }
  await until(async () => {
    const infos = await Promise.all(servers.map(({ client }) => client.cluster('INFO')));
    const links = await Promise.all(servers.slice(masters).map(({ client }) => client.info('replication')));
    return (
      infos.every((info) => info.includes('cluster_state:ok')) &&
      links.every((info) => info.includes('master_link_status:up'))
    );
  });
  // One that stands still answers nobody, and one that has just come back may be behind the times.
  async function master(key = '{nic}') {
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
  return {
    url: `redis+cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    servers,
    master,
    succeeded: (old) => until(async () => (await master()) !== old && (await isMaster(await master()))),
    rejoin: (old) => old.start(),
    replicated: () =>
      until(async () => {
        const roles = await Promise.all(servers.map(isMaster));
        const found = servers.filter((_, index) => roles[index]);
        const complete = await Promise.all(found.map((server) => replicasAreIn(server, replicas)));
        return found.length === masters && complete.every(Boolean);
      }),
    handOver: () =>
      insist(master, async ({ port }) => {
        const infos = await Promise.all(servers.map(({ client }) => client.info('replication')));
        const replica = infos.findIndex((info) => info.includes(`master_port:${port}`));
        await servers[replica].client.cluster('FAILOVER');
      }),
    stop: () => stopAll(servers),
  };
}

/** Gives the order to hand over, again and again, until it has been followed: Redis gives up when it is not in the mood. */
async function insist(master, order) {
  const old = await master();
  for (let asked = 0; (await master()) === old; asked++) {
    if (asked % 100 === 0) await order(old).catch(() => undefined);
    await sleep(20);
  }
}

async function isMaster({ client }) {
  return (await client.info('replication')).includes('role:master');
}

async function replicasAreIn({ client }, count) {
  const info = await client.info('replication');
  return info.includes('role:master') && (info.match(/state=online/g) ?? []).length === count;
}

async function stopAll(servers) {
  await Promise.all(servers.map((server) => server.stop()));
}

async function until(condition) {
  const giveUpAt = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`not within 20 s: ${condition}`);
    await sleep(20);
  }
}

module.exports = { startSentinels, startCluster };
