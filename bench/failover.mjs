// How long nobody generates: from the end of a generator to the next generator's first committed message.
//
//   node bench/failover.mjs [rounds] [instances] [kinds]      kinds: crash,stop,pause
import { setTimeout as sleep } from 'node:timers/promises';
import { resolve } from 'node:path';
import { Redis } from 'ioredis';
import { startInstance, startRedis } from '../harness/processes.mjs';
import { summary } from '../harness/statistics.mjs';

const [rounds = '20', count = '4', kinds = 'crash,stop'] = process.argv.slice(2);
const redis = await startRedis();
const client = new Redis(redis.url);
let started = 0;
const instances = new Map();
const start = () => {
  const name = `i${++started}`;
  const env = {
    REDISURL: redis.url,
    TASK: resolve('bench/ticks.mjs'),
    LEASE_TTL_MS: '5000',
    LOG_LEVEL: 'error',
  };
  instances.set(name, startInstance(name, env));
};
for (let n = 0; n < Number(count); n++) start();

const state = async () => {
  const [instance, term] = await client.hmget('{nic}:leader', 'instance', 'term');
  return { instance, term: Number(term), committed: Number(await client.hget('{nic}:cursor', 'term')) };
};
/** Waits for a leader that has committed. */
async function leading() {
  for (;;) {
    const now = await state();
    if (now.term > 0 && now.committed === now.term && instances.has(now.instance)) return now;
    await sleep(5);
  }
}

const SIGNALS = { crash: 'SIGKILL', stop: 'SIGTERM', pause: 'SIGSTOP' };
for (const kind of kinds.split(',')) {
  const times = [];
  for (let round = 0; round < Number(rounds); round++) {
    const { instance, term } = await leading();
    // Long enough for the others to have seen it, and at any point between two renewals.
    await sleep(1000 + Math.random() * 1700);
    const victim = instances.get(instance);
    instances.delete(instance);
    const startedAt = performance.now();
    victim.kill(SIGNALS[kind]);
    while (Number(await client.hget('{nic}:cursor', 'term')) <= term) await sleep(1);
    times.push(performance.now() - startedAt);
    if (kind === 'pause') victim.kill('SIGKILL');
    await victim.exited;
    start();
  }
  console.log(
    `${kind.padEnd(6)} p50 / p99 / max: ${summary(times)} ms   (${rounds} rounds, ${count} instances)`,
  );
}
client.disconnect();
await redis.stop();
process.exit(0);
