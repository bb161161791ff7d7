import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { history } from '../helpers/history';
import { type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const TASK = resolve('examples/cron.mjs');

let redis: RedisServer;

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  await killAll();
  await redis.stop();
});

const start = (env: Record<string, string> = {}) =>
  startInstance({
    REDISURL: redis.url,
    TASK,
    SCHEDULE: '* * * * * *',
    TZ: 'UTC',
    LEASE_TTL_MS: '1000',
    ...env,
  });

const ticks = async () =>
  (await history<{ scheduledFor: string }>(redis.client)).map(({ message }) =>
    Date.parse(message.scheduledFor),
  );

/** Returns the instance that leads in a later term than the given one. */
async function leaderAfter(term: number, instances: InstanceProcess[]) {
  return waitFor(async () => {
    const leader = await redis.client.hgetall('{nic}:leader');
    const instance = instances.find(({ name }) => name === leader['instance']);
    return Number(leader['term'] ?? 0) > term && instance && { instance, term: Number(leader['term']) };
  }, `a leader after term ${term}`);
}

it('every second becomes a tick exactly once although the generator is killed and paused', async () => {
  const instances = [start(), start(), start()];
  let leader = await leaderAfter(0, instances);
  for (const fault of ['SIGKILL', 'SIGSTOP', 'SIGTERM', 'SIGSTOP'] as const) {
    const before = (await ticks()).length;
    await waitFor(async () => (await ticks()).length > before, 'a tick');
    const struck = leader.instance;
    struck.signal(fault);
    // A paused instance is not counted as alive until it resumes, and does not prevent others from leading.
    if (fault !== 'SIGSTOP') instances.push(start());
    leader = await leaderAfter(leader.term, instances);
    if (fault === 'SIGSTOP') struck.signal('SIGCONT');
  }
  const before = (await ticks()).length;
  await waitFor(async () => (await ticks()).length > before, 'a tick of the last generator');

  const found = await ticks();
  expect(found.map((tick) => new Date(tick).toISOString())).toEqual(
    found.map((_, index) => new Date(found[0]! + index * 1000).toISOString()),
  );
  const { cursor } = await redis.client.hgetall('{nic}:cursor');
  expect(Date.parse(JSON.parse(cursor!) as string)).toBeGreaterThanOrEqual(found.at(-1)!);
});

it.each(['makeup', 'skip'])('handles the seconds without a leader, with MISSED=%s', async (MISSED) => {
  const first = start({ MISSED });
  await waitFor(async () => (await ticks()).length >= 1, 'a tick');
  first.signal('SIGKILL');
  await first.exited;
  const before = await ticks();
  // The test is about the missed seconds.
  await sleep(2100);
  const second = start({ MISSED });
  const line = await second.logged(
    MISSED === 'skip' ? 'ticks were missed and are left out' : 'making up for ticks that were missed',
  );
  expect(line['since']).toBe(new Date(before.at(-1)!).toISOString());
  await waitFor(async () => (await ticks()).length > before.length, 'a tick of the second');
  const next = (await ticks())[before.length]! - before.at(-1)!;
  if (MISSED === 'skip') expect(next).toBeGreaterThanOrEqual(3000);
  else expect(next).toBe(1000);
});

it('refuses to start with exit code 2 and names everything that is wrong in one line', async () => {
  const env = { REDISURL: redis.url, TASK, SCHEDULE: '* * *', TZ: 'Nowhere', MISSED: 'never' };
  const { code, stdout, stderr } = await runCommand([], env);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toBe(
    `error: TASK ${TASK} cannot be loaded: SCHEDULE is "* * *", expected a cron expression of 5 or 6 fields like "*/5 * * * *"; TZ is "Nowhere", expected a time zone like Europe/Berlin or UTC; MISSED is "never", expected makeup or skip\n`,
  );
});
