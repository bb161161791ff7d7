// Fault injection: real instances, real faults, and a checker at the end that nobody can talk round.
//
//   npm run chaos -- [--minutes 1] [--seed 12345] [--instances 4]
//                    [--redis single|sentinel|cluster] [--faults kill,pause,...] [--times 100]
//
// On one Redis, which loses nothing that it has answered, the network is at fault too. Behind Sentinels and in a Cluster
// the master itself dies, stands still or hands over, and what its replica had not got yet is gone: the checker then asks
// whether what is left fits together, and whether all of that was handled.
//
// Ends with exit code 1 on any violation, and then keeps the logs. The same seed gives the same sequence of faults;
// what they meet differs from run to run, as on any machine.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { killEverything, startInstance, startRedis } from '../harness/processes.mjs';
import proxies from '../harness/proxy.cjs';
import topologies from '../harness/topologies.cjs';
import { summary } from '../harness/statistics.mjs';
import { check } from './check.mjs';
import { createFaults, pick } from './faults.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    instances: { type: 'string', default: '4' },
    redis: { type: 'string', default: 'single' },
    faults: { type: 'string' },
    times: { type: 'string', default: 'Infinity' },
  },
});
const [minutes, seed, count, times] = [values.minutes, values.seed, values.instances, values.times].map(
  Number,
);
if (!['single', 'sentinel', 'cluster'].includes(values.redis)) {
  console.error(`--redis is "${values.redis}", expected single, sentinel or cluster`);
  process.exit(2);
}
if (!(minutes > 0) || !Number.isInteger(seed) || !(count >= 1 && Number.isInteger(count))) {
  console.error('expected: --minutes above 0, --seed a whole number, --instances a whole number from 1');
  process.exit(2);
}

const LEASE_TTL_MS = 2000;
/** How long generating may rest at the most, in milliseconds: several faults and leases in a row. */
const LONGEST_REST_MS = 20_000;

const logs = mkdtempSync(join(tmpdir(), 'nic-chaos-'));
const random = seeded(seed);
const problems = [];
const redis = await startSubject();
const ledgerServer = await startRedis();
let client = await redis.connect();
const ledger = connect(ledgerServer.url);
const instances = [];
let started = 0;
let finished = false;

const world = {
  redis,
  leaseTtlMs: LEASE_TTL_MS,
  redisBackAt: 0,
  /** Where to look from now on. */
  async redisIsBack() {
    client = await redis.connect();
    world.redisBackAt = performance.now();
  },
  violation: (text) => void problems.push(text),
  order: (name, text) => ledger.publish(name, text),
  replace(victim) {
    instances.splice(instances.indexOf(victim), 1);
    return add();
  },
};

async function add() {
  const name = `i${++started}`;
  const proxy = redis.port === undefined ? undefined : await proxies.startProxy(redis.port);
  const env = {
    REDISURL: proxy?.url ?? redis.url,
    LEDGER: ledgerServer.url,
    TASK: resolve('chaos/task.mjs'),
    LEASE_TTL_MS: String(LEASE_TTL_MS),
    // Renewed at half of it: an outage of Redis that lasts less costs nobody a message in hand.
    JOB_LOCK_MS: '12000',
    KEEP_COMPLETED: '100000000',
    LOG_LEVEL: 'debug',
  };
  let ready;
  const instance = startInstance(name, env, (line) => {
    if (line.includes('"message":"started"')) ready();
    // What happens with each message is in the ledger.
    if (!finished && !line.includes('"committed"')) appendFileSync(join(logs, `${name}.log`), `${line}\n`);
  });
  instance.proxy = proxy;
  instance.ready = new Promise((resolve) => (ready = resolve));
  instance.exited.then((code) => {
    if (instances.includes(instance) && code === 1) problems.push(`${name} ended by itself with exit code 1`);
    return proxy?.close();
  });
  instances.push(instance);
}

await Promise.all(Array.from({ length: count }, add));
await longestRest(await committed(), Promise.resolve(), false);
console.log(`chaos: ${values.redis}, seed ${seed}, ${minutes} minutes, ${count} instances, logs in ${logs}`);

const faults = chosen(createFaults(world, random));
const counts = {};
const rests = {};
const endsAt = performance.now() + minutes * 60_000;
while (performance.now() < endsAt && problems.length === 0 && sum(counts) < times) {
  // One that can not reach Redis when it starts ends with an error, as it should.
  await Promise.all(instances.map((instance) => instance.ready));
  await sleep(100 + random() * 500);
  const leader = await client.hget('{nic}:leader', 'instance');
  const [kind, fault] = pick(faults, random);
  const first = victimOf(fault, leader, random() < 0.6 ? [] : [leader]);
  // Misfortunes do come in twos.
  const [secondKind, secondFault] = pick(faults, random);
  const twofold = random() < 0.3 && !fault.ofRedis && !secondFault.ofRedis;
  const second = twofold ? victimOf(secondFault, undefined, [first.name]) : undefined;

  const before = await committed();
  const striking = [strike(kind, fault, first)];
  if (second !== undefined) striking.push(strike(secondKind, secondFault, second));
  const deposes = first.name === leader && (kind === 'kill' || kind === 'stop');
  const restMs = await longestRest(before, Promise.all(striking), deposes);
  const atGenerator = fault.ofRedis || first.name === leader;
  if (atGenerator && second === undefined && restMs !== undefined) (rests[kind] ??= []).push(restMs);
}

console.log('chaos: all is healed; waiting for the queue to run empty');
await ledger.publish('orders', 'stop');
await untilDone();
const result = await check(client, ledger);
problems.push(...result.problems);

const events = await ledger.lrange('events', 0, -1);
// What they still have to say is of no interest any more.
finished = true;
instances.length = 0;
killEverything();
await Promise.all([redis.stop(), ledgerServer.stop()]);

console.log('');
console.log(
  'fault      times   without a commit, where it struck the generator or Redis (p50 / p99 / max ms)',
);
for (const kind of Object.keys(faults)) {
  console.log(`${kind.padEnd(10)} ${String(counts[kind] ?? 0).padStart(5)}   ${summary(rests[kind] ?? [])}`);
}
console.log('');
console.log(`${sum(counts)} faults, ${result.messages} messages, ${result.failed} failed as they should`);
console.log(
  `${result.handledTwice} handled twice, each because its handler was struck with the message in hand, or Redis lost that it was handled`,
);
if (problems.length === 0) {
  console.log('lost 0, doubled 0, violations 0');
  rmSync(logs, { recursive: true });
} else {
  for (const problem of problems) console.log(`VIOLATION: ${problem}`);
  writeFileSync(join(logs, 'ledger.jsonl'), events.join('\n'));
  console.log(`seed ${seed}; the logs are in ${logs}`);
}
process.exit(problems.length === 0 ? 0 : 1);

function connect(url) {
  const made = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 20 });
  made.on('error', () => undefined);
  return made;
}

/** The Redis that is put to the test: `connect` gives a client of whoever is the master now. */
async function startSubject() {
  if (values.redis === 'single') {
    const server = await startRedis({ durable: true });
    const made = connect(server.url);
    return Object.assign(server, { connect: async () => made });
  }
  const topology =
    values.redis === 'sentinel'
      ? await topologies.startSentinels()
      : await topologies.startCluster({ masters: 3, replicas: 1 });
  return Object.assign(topology, { connect: async () => (await topology.master()).client });
}

/** The faults that are asked for, and possible with this Redis. */
function chosen(all) {
  const names = values.faults?.split(',');
  const kept = Object.entries(all).filter(
    ([name, { on }]) =>
      (names?.includes(name) ?? true) &&
      (on === undefined || on === (redis.port === undefined ? 'several' : 'single')),
  );
  const unknown = names?.filter((name) => !kept.some(([known]) => known === name)) ?? [];
  if (unknown.length === 0) return Object.fromEntries(kept);
  console.error(`--faults names ${unknown}, expected some of ${Object.keys(all)}, as --redis allows`);
  process.exit(2);
}

async function committed() {
  for (;;) {
    const asked = client.hmget('{nic}:cursor', 'term', 'generated');
    asked.catch(() => undefined);
    try {
      // One that is not the master any more may never answer, or send elsewhere.
      const answer = await Promise.race([asked, sleep(500)]);
      if (answer) return { term: Number(answer[0] ?? 0), generated: Number(answer[1] ?? 0) };
    } catch {
      await sleep(50);
    }
  }
}

function sum(numbers) {
  return Object.values(numbers).reduce((total, n) => total + n, 0);
}

/** Whom a fault strikes: the generator if it may, or else any of the others. */
function victimOf(fault, leader, spared) {
  if (fault.ofRedis) return { name: 'redis' };
  const candidates = instances.filter(({ name }) => !spared.includes(name));
  const generator = candidates.find(({ name }) => name === leader);
  return generator ?? candidates[Math.floor(random() * candidates.length)] ?? instances[0];
}

/** Lets a fault happen and pass, and writes down when. */
async function strike(kind, fault, victim) {
  counts[kind] = (counts[kind] ?? 0) + 1;
  await ledger.rpush('events', JSON.stringify({ e: 'fault', kind, i: victim.name }));
  await fault.run(victim);
  // A handler may learn what has become of its message only when it has its connection again; the dead learn nothing.
  if (kind !== 'kill') {
    await sleep(300);
    await ledger.rpush('events', JSON.stringify({ e: 'healed', i: victim.name }));
  }
}

/**
 * The longest time without a commit, in milliseconds, from the fault until it has passed and messages are committed
 * again: by another generator, where the fault ended the one before.
 */
async function longestRest(before, passing, byAnother) {
  let passed = false;
  passing.then(() => (passed = true));
  let seen = before.generated;
  let lastAt = performance.now();
  let longest = 0;
  for (;;) {
    await sleep(2);
    const now = await committed();
    const at = performance.now();
    // What a replica had not got yet is gone.
    if (now.generated < seen) seen = now.generated;
    if (now.generated > seen) {
      // While Redis itself is away or loads its data, nobody can commit.
      longest = Math.max(longest, at - Math.max(lastAt, world.redisBackAt));
      [seen, lastAt] = [now.generated, at];
      if (passed && (!byAnother || now.term > before.term)) return longest;
    } else if (at - lastAt > LONGEST_REST_MS) {
      problems.push(`nothing was generated for ${LONGEST_REST_MS} ms`);
      return undefined;
    }
  }
}

async function untilDone() {
  const giveUpAt = performance.now() + 90_000;
  for (let quiet = 0; quiet < 5;) {
    await sleep(200);
    const [waiting, active, delayed, failed, recorded] = await Promise.all([
      client.llen('{nic}:messages:wait'),
      client.llen('{nic}:messages:active'),
      client.zcard('{nic}:messages:delayed'),
      client.zcard('{nic}:messages:failed'),
      client.hlen('{nic}:errors'),
    ]);
    quiet = waiting + active + delayed === 0 && failed === recorded ? quiet + 1 : 0;
    if (performance.now() > giveUpAt) {
      problems.push(
        `not done after 90 s: ${waiting} wait, ${active} active, ${failed} failed, ${recorded} recorded`,
      );
      return;
    }
  }
}

/** A small generator of numbers from 0 up to 1 (mulberry32), so that a seed gives the same run again. */
function seeded(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
