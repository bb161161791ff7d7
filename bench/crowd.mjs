// What many instances cost while nothing happens, and whether a crash of the generator makes them stampede.
//
//   node bench/crowd.mjs [instances] [kills]
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startInstance, startRedis } from '../harness/processes.mjs';
import { summary } from '../harness/statistics.mjs';

const [count, kills] = [Number(process.argv[2] ?? 50), Number(process.argv[3] ?? 10)];
const SECONDS = 20;
const redis = await startRedis();
const client = new Redis(redis.url);
const instances = new Map();
let started = 0;

function start() {
  const name = `i${++started}`;
  const env = {
    REDISURL: redis.url,
    TASK: resolve('bench/idle.mjs'),
    LEASE_TTL_MS: '5000',
    LOG_LEVEL: 'error',
  };
  instances.set(name, startInstance(name, env));
}

/** Calls by name, those from within scripts included. */
async function calls() {
  const info = await client.info('commandstats');
  return Object.fromEntries(
    [...info.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)].map(([, name, n]) => [name, Number(n)]),
  );
}

/** Seconds of processor time that these processes have used. */
function cpu(pids) {
  const ticks = pids.map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, n) => sum + n, 0) / 100;
}

const subscribed = async () => {
  const channels = [...instances.keys()].map((name) => `{nic}:presence:${name}`);
  const counts = await client.pubsub('NUMSUB', ...channels);
  return counts.filter((_, index) => index % 2 === 1).every((n) => n > 0);
};

for (let n = 0; n < count; n++) start();
while (!(await subscribed())) await sleep(100);
await sleep(5000);

const pids = [...instances.values()].map(({ child }) => child.pid);
/** What `ms` milliseconds of doing nothing cost. */
async function atRest(ms) {
  const [before, cpuBefore, redisBefore] = [await calls(), cpu(pids), cpu([redis.pid])];
  await sleep(ms);
  const [after, cpuAfter, redisAfter] = [await calls(), cpu(pids), cpu([redis.pid])];
  return { before, after, cpuSeconds: cpuAfter - cpuBefore, redisSeconds: redisAfter - redisBefore };
}
const { before, after, cpuSeconds, redisSeconds } = await atRest(SECONDS * 1000);
const perSecond = Object.entries(after)
  .map(([name, n]) => [name, (n - (before[name] ?? 0)) / SECONDS / count])
  .filter(([, n]) => n > 0.01)
  .sort((a, b) => b[1] - a[1]);
const total = perSecond.reduce((sum, [, n]) => sum + n, 0);
const memory = pids.map(
  (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024,
);
console.log(`${count} instances, idle for ${SECONDS} s:`);
console.log(
  `  ${total.toFixed(1)} Redis commands a second each, the generator's among them and calls within scripts included`,
);
console.log(
  `    ${perSecond
    .slice(0, 8)
    .map(([name, n]) => `${name} ${n.toFixed(2)}`)
    .join('  ')}`,
);
console.log(`  ${((cpuSeconds / SECONDS / count) * 100).toFixed(2)} % of a core each`);
console.log(`  ${((redisSeconds / SECONDS) * 100).toFixed(1)} % of a core for Redis`);
console.log(`  ${summary(memory)} MB resident (p50 / p99 / max)`);

const times = [];
for (let kill = 0; kill < kills; kill++) {
  const [name, term] = await client.hmget('{nic}:leader', 'instance', 'term');
  const victim = instances.get(name);
  instances.delete(name);
  const killedAt = performance.now();
  victim.kill('SIGKILL');
  while (Number(await client.hget('{nic}:leader', 'term')) === Number(term)) await sleep(2);
  times.push(performance.now() - killedAt);
  await sleep(2000);
  const terms = Number(await client.hget('{nic}:leader', 'term')) - Number(term);
  if (terms !== 1) console.log(`  kill ${kill + 1}: ${terms} successors, expected 1`);
}
if (kills > 0)
  console.log(
    `  killed the generator ${kills} times, next term after ${summary(times)} ms (p50 / p99 / max)`,
  );
client.disconnect();
await redis.stop();
process.exit(0);
