import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { history, jobCounts, upTo } from '../helpers/history';
import { ELECTED, type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { DURABLE, type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const LEDGER_TASK = resolve('__tests__/fixtures/ledgerTask.mjs');

let redis: RedisServer;
let ledger: RedisServer;

beforeEach(async () => {
  [redis, ledger] = await Promise.all([startRedis(DURABLE), startRedis()]);
});

afterEach(async () => {
  await killAll();
  await Promise.all([redis.stop(), ledger.stop()]);
});

function start(env: Record<string, string> = {}): InstanceProcess {
  return startInstance({
    REDISURL: redis.url,
    LEDGER: ledger.url,
    TASK: LEDGER_TASK,
    LEASE_TTL_MS: '600',
    ...env,
  });
}

/** Returns the instance that holds the newest term. */
async function leaderOf(instances: InstanceProcess[], beyondTerm = 0): Promise<InstanceProcess> {
  return waitFor(async () => {
    const { instance, term } = await redis.client.hgetall('{nic}:leader');
    return Number(term ?? 0) > beyondTerm && instances.find(({ name }) => name === instance);
  }, `a leader beyond term ${beyondTerm}`);
}

const generated = async () => Number((await redis.client.hget('{nic}:cursor', 'generated')) ?? 0);
const term = async () => Number((await redis.client.hget('{nic}:leader', 'term')) ?? 0);

/** Waits until all `total` messages are finished, and returns their numbers in the order of their ids. */
async function finished(total: number): Promise<number[]> {
  await waitFor(async () => {
    const { completed, failed } = await jobCounts(redis.client);
    return completed + failed === total;
  }, `${total} messages to be done`);
  return (await history<{ number: number }>(redis.client)).map(({ message }) => message.number);
}

describe('an access log of 10,000 lines on three instances', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nic-log-'));
  const real = resolve('../shared/data/access.log');
  let file = real;
  let badLine = 8899;

  beforeAll(() => {
    if (existsSync(real)) return;
    // If the real log is missing, generate as many lines of the same form, one of them truncated.
    file = join(directory, 'access.log');
    badLine = 4321;
    const line = (n: number) =>
      `10.0.0.${n % 255} - - [17/May/2015:10:05:03 +0000] "GET /${n} HTTP/1.1" 200 1 "-" "x"`;
    const lines = upTo(10_000).map((n) => (n === badLine ? line(n).slice(0, 60) : line(n)));
    writeFileSync(file, lines.join('\n') + '\n');
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('is generated exactly once and in order although the generator is killed three times', async () => {
    const env = {
      TASK: resolve('examples/accessLog.mjs'),
      FILE: file,
      MAX_BACKLOG: '600',
      CONCURRENCY: '20',
      LOG_LEVEL: 'info',
      KEEP_COMPLETED: '20000',
    };
    const instances = [start(env), start(env), start(env)];
    for (const progress of [1500, 4000, 6500]) {
      await waitFor(async () => (await generated()) >= progress, `${progress} messages`);
      const victim = await leaderOf(instances, 0);
      const before = await term();
      victim.signal('SIGKILL');
      expect(await generated()).toBeLessThan(10_000);
      instances.push(start(env));
      await leaderOf(
        instances.filter((instance) => instance !== victim),
        before,
      );
    }

    // Only messages that were active on killed instances can still be unfinished.
    await waitFor(async () => (await generated()) === 10_000, 'all lines');
    const numbers = (await history<{ number: number }>(redis.client)).map(({ message }) => message.number);
    expect(numbers).toEqual(upTo(10_000));
    await waitFor(
      () => redis.client.hexists('{nic}:errors', String(badLine)),
      'the line that does not parse',
    );
    const { stdout } = await runCommand(['getErrors', '--json'], { REDISURL: redis.url });
    const errors = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { message: { number: number } });
    expect(errors.map(({ message }) => message.number)).toEqual([badLine]);
  });
});

it('elects one of three instances, handles on all three, and replaces a killed generator', async () => {
  const env = { PAUSE_MS: '5', HANDLE_MS: '10', LEASE_TTL_MS: '1000' };
  const instances = [start(env), start(env), start(env)];
  const leader = await leaderOf(instances);
  const busy = await waitFor(async () => {
    const { stdout } = await runCommand(['status', '--json'], { REDISURL: redis.url });
    const status = JSON.parse(stdout) as {
      leader: { instance: string };
      instances: { handled: number; leader: boolean }[];
    };
    return status.instances.length === 3 && status.instances.every(({ handled }) => handled > 0) && status;
  }, 'all three to handle');
  expect(busy.leader.instance).toBe(leader.name);
  expect(busy.instances.filter((instance) => instance.leader)).toHaveLength(1);

  const killedAt = performance.now();
  leader.signal('SIGKILL');
  await leader.exited;
  const before = await generated();
  await waitFor(async () => (await generated()) > before, 'the next generator');
  expect(performance.now() - killedAt).toBeLessThan(1000 * 1.1 + 500);
});

it('a generator that was paused for longer than its lease adds nothing afterwards and steps down', async () => {
  const env = { PAUSE_MS: '1' };
  const [first, second] = [start(env), start(env)];
  const paused = await leaderOf([first, second]);
  const other = paused === first ? second : first;
  await waitFor(async () => (await generated()) > 50, 'messages');
  paused.signal('SIGSTOP');
  await leaderOf([other], await term());
  const { generated: takenOverAt } = await other.logged('generating');
  await waitFor(async () => (await generated()) > Number(takenOverAt) + 20, 'commits of the next generator');
  const from = paused.log.length;
  paused.signal('SIGCONT');
  await paused.logged('stepped down', from);
  const then = await generated();
  await waitFor(async () => (await generated()) > then + 20, 'further commits');

  const numbers = (await history<{ number: number }>(redis.client)).map(({ message }) => message.number);
  expect(numbers).toEqual(upTo(numbers.length));
  // It might learn only now that a commit from before the pause succeeded; it commits nothing else.
  const added = paused.log
    .filter(({ message }) => message === 'committed')
    .map((line) => Number(line['generated']));
  expect(Math.max(...added)).toBeLessThanOrEqual(Number(takenOverAt));
});

it('loses and doubles nothing when Redis is killed in the middle of commits, and goes on by itself', async () => {
  const total = 1800;
  const env = { TOTAL: String(total), BATCH: '7', KEEP_COMPLETED: String(total) };
  const instances = [start(env), start(env)];
  // While it starts, an instance ends when Redis is away.
  await Promise.all(instances.map((instance) => instance.started()));
  for (let kill = 1; kill <= 2; kill++) {
    const target = kill * 600;
    await waitFor(async () => (await generated()) >= target, `${target} messages`);
    await redis.kill();
    await redis.restart();
  }
  expect(await finished(total)).toEqual(upTo(total));
  expect(await generated()).toBe(total);
  for (const instance of instances) expect(instance.process.exitCode).toBeNull();
});

describe('on SIGTERM', () => {
  it('an instance hands over leadership first, finishes the active message, and exits with code 0', async () => {
    const env = { PAUSE_MS: '20', HANDLE_MS: '700', LEASE_TTL_MS: '30000' };
    const leaver = start(env);
    await leaver.logged(ELECTED);
    const stayer = start(env);
    await stayer.logged('started');
    await waitFor(async () => (await ledger.client.llen('handled')) >= 2, 'both to handle');
    leaver.signal('SIGTERM');
    // Long before the lease of 30 s would expire.
    await stayer.logged(ELECTED);
    expect(await leaver.exited).toBe(0);
    const steps = leaver.log.map(({ message }) => message);
    expect(steps.indexOf('stepped down')).toBeLessThan(steps.indexOf('finishing active messages'));
    expect((await jobCounts(redis.client)).failed).toBe(0);
  });

  it('a second signal ends the instance at once with exit code 1', async () => {
    const instance = start({ HANDLE_MS: '60000', TOTAL: '1' });
    await waitFor(() => ledger.client.llen('handled').then((length) => length > 0), 'an active message');
    instance.signal('SIGTERM');
    await instance.logged('finishing active messages');
    instance.signal('SIGTERM');
    expect(await instance.exited).toBe(1);
  });

  it('a Ctrl-C that arrives twice, from the terminal and from npm, counts once', async () => {
    const instance = start({ HANDLE_MS: '500', TOTAL: '1' });
    await waitFor(() => ledger.client.llen('handled').then((length) => length > 0), 'an active message');
    instance.signal('SIGINT');
    instance.signal('SIGINT');
    expect(await instance.exited).toBe(0);
    expect((await jobCounts(redis.client)).completed).toBe(1);
  });

  it('a message that is not finished in time is requeued for another instance', async () => {
    const instance = start({ HANDLE_MS: '60000', TOTAL: '1', SHUTDOWN_TIMEOUT_MS: '200' });
    await waitFor(() => ledger.client.llen('handled').then((length) => length > 0), 'an active message');
    instance.signal('SIGTERM');
    expect(await instance.exited).toBe(0);
    expect(await jobCounts(redis.client)).toMatchObject({ wait: 1, active: 0, failed: 0 });
  });

  it('an instance that is still starting exits, whatever it is waiting for', async () => {
    const instance = start({ TASK: resolve('__tests__/fixtures/endlesslyLoadingTask.mjs') });
    await instance.logged('loading');
    instance.signal('SIGTERM');
    expect(await instance.exited).toBe(0);
  });

  it('an unreachable Redis does not keep the process alive', async () => {
    const instance = start({ PAUSE_MS: '10' });
    await instance.logged(ELECTED);
    await redis.kill();
    await instance.logged('Redis is away or refuses writes; retrying until it is back');
    const asked = performance.now();
    instance.signal('SIGTERM');
    expect(await instance.exited).toBe(0);
    expect(performance.now() - asked).toBeLessThan(10_000);
  });
});

it('an instance whose generate fails steps down, for longer each time, while others continue', async () => {
  const broken = start({ TASK: resolve('__tests__/fixtures/brokenTask.mjs') });
  await broken.logged('generating failed: giving up leadership so that another instance can try');
  const sound = start({ PAUSE_MS: '10' });
  await sound.logged(ELECTED);
  await waitFor(async () => (await generated()) > 0, 'messages of the sound one');
  expect(broken.process.exitCode).toBeNull();
});

it('with GENERATOR_HANDLES=false the generator handles no messages until it steps down', async () => {
  // Long enough for the leader to keep its lease, however busy the machine is.
  const env = { GENERATOR_HANDLES: 'false', PAUSE_MS: '5', LEASE_TTL_MS: '10000' };
  const instances = [start(env), start(env)];
  const leader = await leaderOf(instances);
  await waitFor(async () => (await ledger.client.llen('handled')) > 50, 'messages handled');
  const handlers = new Set(
    (await ledger.client.lrange('handled', 0, -1)).map(
      (line) => (JSON.parse(line) as { instance: string }).instance,
    ),
  );
  expect(handlers).toEqual(new Set(instances.map(({ name }) => name).filter((name) => name !== leader.name)));
});
