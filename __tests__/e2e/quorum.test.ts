import { resolve } from 'node:path';
import { ELECTED, type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const TTL = 1000;
let redis: RedisServer;
let nodes: RedisServer[];
let env: Record<string, string>;

beforeEach(async () => {
  [redis, ...nodes] = await Promise.all([startRedis(), startRedis(), startRedis(), startRedis()]);
  env = {
    REDISURL: redis.url,
    LEASE_REDIS_URLS: nodes.map(({ url }) => url).join(','),
    LEASE_TTL_MS: String(TTL),
    TASK: resolve('bench/tasks/intervalTask.mjs'),
  };
});

afterEach(async () => {
  await killAll();
  await Promise.all([redis, ...nodes].map((server) => server.stop()));
});

const generated = async () => Number((await redis.client.hget('{nic}:cursor', 'generated')) ?? 0);
const term = async () => Number((await redis.client.hget('{nic}:leader', 'term')) ?? 0);
async function goesOn(): Promise<void> {
  const before = await generated();
  await waitFor(async () => (await generated()) > before + 10, 'further messages');
}

it('one of three lease nodes can die; without a quorum nobody generates; with a quorum again, one instance does', async () => {
  const instances: InstanceProcess[] = [startInstance(env), startInstance(env)];
  await goesOn();
  await nodes[0]!.kill();
  const before = await term();
  await new Promise((done) => setTimeout(done, TTL * 2));
  await goesOn();
  expect(await term()).toBe(before);

  await nodes[1]!.kill();
  const lostAt = performance.now();
  let last = await generated();
  let lastAt = lostAt;
  while (performance.now() - lostAt < TTL * 2) {
    const now = await generated();
    if (now > last) [last, lastAt] = [now, performance.now()];
    await new Promise((done) => setTimeout(done, 5));
  }
  expect(lastAt - lostAt).toBeLessThan(TTL * 1.1);
  const { stdout } = await runCommand(['status', '--json'], env);
  expect(JSON.parse(stdout)).toMatchObject({ leader: null, instances: [{}, {}] });

  await Promise.all([nodes[0]!.restart(), nodes[1]!.restart()]);
  await goesOn();
  for (const instance of instances) expect(instance.process.exitCode).toBeNull();
});

it('a crashed generator is replaced through the quorum long before its lease expires', async () => {
  env['LEASE_TTL_MS'] = '30000';
  await nodes[2]!.kill();
  const first = startInstance(env);
  await first.logged(ELECTED);
  const second = startInstance(env);
  await second.logged('following');
  first.signal('SIGKILL');
  await second.logged(ELECTED);
  await goesOn();
});
