// More than one core of Redis: several namespaces on a Cluster. The cost of a message on one, two and four masters is
// measured; the capacity of more masters is computed from it, since a machine has few cores; and how evenly
// namespaces spread over masters is simulated with names and their slots in Redis.
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { openGroup } from '../measuring/group.mjs';
import { cpuSeconds } from '../../testkit/proc.cjs';
import { startCluster } from '../../testkit/cluster.cjs';
import { untilProcessed } from '../measuring/untilProcessed.mjs';
import { figure, table } from '../reporting/figures.mjs';

const SLOTS = 16_384;
const CONCURRENCY = 50;
/** The planned share of a Redis core that a master uses. */
const LOAD = 0.7;

export async function shards({ rounds, quick, scale, progress }) {
  const total = Math.ceil(20_000 * scale);
  const measured = [];
  const sizes = quick ? [1] : [1, 2, 4];
  let slots;
  for (const masters of sizes) {
    const cluster = await startCluster({ masters });
    const results = [];
    for (let round = 0; round < Math.min(rounds, 3); round++) {
      progress.say(`shards: ${masters} ${masters === 1 ? 'master' : 'masters'}, round ${round + 1}`);
      results.push(await costOf(cluster, total, round));
    }
    slots ??= await slotsOfNames(cluster.servers[0].client);
    await cluster.stop();
    measured.push({ masters, of: (field) => results.map((result) => result[field]) });
  }
  const figures = measured.flatMap(({ masters, of }) => [
    figure(`shards.${masters}.redis`, `${masters} × namespace and master: Redis`, 'CPU µs', of('redisUs')),
    figure(
      `shards.${masters}.instance`,
      `${masters} × namespace and master: instances`,
      'CPU µs',
      of('instanceUs'),
    ),
  ]);
  const about =
    `Measured: processor time of one message, generated and handled, on a Cluster. One namespace on each master, one ` +
    `instance each at concurrency ${CONCURRENCY}, ${total} messages each.`;
  const [{ median: redisUs }, { median: instanceUs }] = figures;
  return [
    table('Past one core of Redis: what a message costs', about, figures),
    limits(redisUs, instanceUs, slots),
  ];
}

/** Measures the CPU time per message with one namespace per master and one instance per namespace. */
async function costOf(cluster, total, round) {
  const groups = [];
  for (const { client, port } of cluster.servers) {
    await client.flushall();
    groups.push({
      client,
      group: openGroup(client, environment(cluster, await nameOn(cluster, port, round), total)),
    });
  }
  const members = groups.map(({ group }) => group.start({}, { onMessage: () => undefined }));
  await Promise.all(groups.map(({ group }) => group.leading()));
  const pids = {
    redis: cluster.servers.map(({ process: { pid } }) => pid),
    instance: members.map((member) => member.process.pid),
  };
  const before = [cpuSeconds(...pids.redis), cpuSeconds(...pids.instance)];
  for (const member of members) member.process.send('start');
  await Promise.all(groups.map(({ client, group }) => untilProcessed(client, group.key, total)));
  const [redis, instance] = [cpuSeconds(...pids.redis) - before[0], cpuSeconds(...pids.instance) - before[1]];
  await Promise.all(groups.map(({ group }) => group.killAll()));
  const messages = total * groups.length;
  return { redisUs: (redis / messages) * 1e6, instanceUs: (instance / messages) * 1e6 };
}

function environment({ url }, namespace, total) {
  return {
    REDISURL: url,
    NAMESPACE: namespace,
    CONCURRENCY: String(CONCURRENCY),
    TASK: resolve(import.meta.dirname, '../tasks/millionTask.mjs'),
    BENCH: JSON.stringify({ total, batch: 500 }),
  };
}

/** Finds a namespace whose keys are on the master at `port`. */
async function nameOn(cluster, port, round) {
  for (let n = 1; ; n++) {
    const name = `shard-${round}-${n}`;
    if ((await cluster.master(`{${name}}`)).port === port) return name;
  }
}

async function slotsOfNames(client) {
  // Numbered names would not work, since the checksum of Redis maps them to a pattern.
  const name = (n) => createHash('sha1').update(String(n)).digest('hex').slice(0, 8);
  const names = Array.from({ length: 16_384 }, (_, n) => `{${name(n)}}`);
  return Promise.all(names.map((name) => client.cluster('KEYSLOT', name)));
}

/** Computes the capacity of `masters`, and what remains of it with arbitrary names. */
function limits(redisUs, instanceUs, slots) {
  const one = (LOAD * 1e6) / redisUs;
  const figures = [1, 2, 4, 8, 16].map((masters) => {
    const even = masters * one;
    const unpicked = (each) => even * evenness(slots, masters, masters * each);
    return figure(
      `shards.limit.${masters}`,
      `${masters} ${masters === 1 ? 'master' : 'masters'}`,
      'messages/s',
      [even],
      {
        also: {
          'cores for instances': (even * instanceUs) / 1e6,
          'unpicked, 1 a master': unpicked(1),
          '4 a master': unpicked(4),
          '16 a master': unpicked(16),
        },
      },
    );
  });
  const about =
    `Computed from the first two lines above, not measured: masters with a core each that they use to ${LOAD * 100} %, ` +
    'and one namespace on each, its name picked so that it lies there. With names that were not picked, the busiest ' +
    'master sets the pace of all: the last columns, the mean of many draws, each namespace with the same load.';
  return table('Past one core of Redis: how throughput grows', about, figures);
}

/** Computes the share of the even load when the busiest master is full; the mean over many sets of names. */
function evenness(slots, masters, namespaces) {
  const draws = Math.floor(slots.length / namespaces);
  let sum = 0;
  for (let draw = 0; draw < draws; draw++) {
    const on = new Array(masters).fill(0);
    for (const slot of slots.slice(draw * namespaces, (draw + 1) * namespaces))
      on[Math.floor((slot * masters) / SLOTS)]++;
    sum += namespaces / masters / Math.max(...on);
  }
  return sum / draws;
}
