import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ELECTED, killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

/** The rights that docs/deployment.md lists. */
const RIGHTS = /```acl\n([^`]*)```/
  .exec(readFileSync('docs/deployment.md', 'utf8'))![1]!
  .split(/\s+/)
  .filter(Boolean);

let redis: RedisServer;
let url: string;

beforeEach(async () => {
  redis = await startRedis();
  url = redis.url.replace('://', '://app:password@');
});

afterEach(async () => {
  await killAll();
  await redis.stop();
});

const grant = (rights: readonly string[]) => redis.client.call('ACL', 'SETUSER', 'app', ...rights);

it('a user with only the listed rights can run everything', async () => {
  await grant(RIGHTS);
  const env = {
    REDISURL: url,
    BOARD: 'on',
    BOARD_PORT: '0',
    ATTEMPTS: '2',
    BACKOFF_MS: '10',
    DEMO_INTERVAL_MS: '10',
    DEMO_HANDLE_MS: '5',
    DEMO_ERROR_RATE: '0.5',
  };
  const first = startInstance(env);
  await first.logged(ELECTED);
  const second = startInstance(env);
  await second.logged('following');
  expect(first.log.find(({ level }) => level === 'warn')).toMatchObject({
    message: 'this user may not send INFO: the settings of Redis that can lose messages were not checked',
  });

  await waitFor(async () => (await redis.client.hlen('{nic}:errors')) > 3, 'error records');
  for (const [command, said] of [
    [['status'], /^instances +2/m],
    [['getErrors'], /2 attempts/],
    [['retryErrors', '--all'], /^$/],
    [['getErrors', '--clear'], /^/],
    [['cursor'], /^generated +\d+/m],
    [['cursor', 'history'], /term 1/],
    [['cursor', 'set', '5'], /^$/],
    [['pause', 'all'], /^$/],
    [['resume'], /^$/],
    [['handover'], /is the generator now/],
    [['drain', '--timeout', '20'], /^$/],
    [['resume'], /^$/],
  ] as const) {
    const { code, stdout } = await runCommand(command, env);
    expect({ command, code, stdout }).toEqual({
      command,
      code: 0,
      stdout: expect.stringMatching(said) as string,
    });
  }
  const { url: board } = await first.logged((line) => line.message.startsWith('board'));
  const jobs = await fetch(`${String(board)}/board/api/queues?activeQueue=messages&status=latest&page=1`);
  expect(await jobs.json()).toMatchObject({ queues: [{ name: 'messages' }] });

  const refusal = await runCommand(['destroy', '--yes', 'nic'], env);
  expect(refusal).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('2 instances are alive') as string,
  });

  // A message is active on an instance that dies, leadership passes on, and an instance shuts down.
  first.signal('SIGKILL');
  await second.logged(ELECTED);
  second.signal('SIGTERM');
  expect(await second.exited).toBe(0);

  await grant(['+scan']);
  const destroyed = await runCommand(['destroy', '--yes', 'nic'], env);
  expect(destroyed).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^removed .* keys\n$/) as string,
  });
  expect(await redis.client.keys('*')).toEqual([]);

  // Only what the documentation lists as optional was refused.
  const refused = ((await redis.client.call('ACL', 'LOG')) as string[][]).map(
    (entry) => entry[entry.indexOf('object') + 1]!,
  );
  expect(new Set(refused)).toEqual(new Set(['info', 'client|list']));
  expect([...first.noise, ...second.noise]).toEqual([]);
});

it.each([
  [
    'no rights at all',
    ['on', '>password'],
    /NOPERM.*command; expected the rights that docs\/deployment.md lists/,
  ],
  ['rights to other keys', RIGHTS.map((right) => right.replace('{nic}', '{other}')), /NOPERM.*(key|channel)/],
])('a user with %s: exits with code 1 and names the missing right', async (_, rights, said) => {
  await grant(rights);
  const [start, status] = await Promise.all([
    runCommand([], { REDISURL: url, BOARD: 'off', LOG_LEVEL: 'error' }),
    runCommand(['status'], { REDISURL: url }),
  ]);
  for (const { code, stderr } of [start, status]) {
    expect(stderr).toMatch(/^error: Redis at redis:\/\/127.0.0.1:\d+ .*\n$/);
    expect(stderr).toMatch(said);
    expect(code).toBe(1);
  }
});

it('a wrong password is distinguished from an unreachable server', async () => {
  await grant(RIGHTS);
  const { code, stderr } = await runCommand([], {
    REDISURL: url.replace('password', 'Sesame'),
    BOARD: 'off',
  });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: Redis at \S+ refused the user or password: WRONGPASS/);
  expect(stderr).not.toContain('Sesame');
});

it('the lease nodes need fewer rights', async () => {
  const lease = /`(~\{nic\}:lease [^`]*)`/.exec(readFileSync('docs/deployment.md', 'utf8'))![1]!.split(' ');
  await redis.client.call('ACL', 'SETUSER', 'app', 'on', '>password', ...lease);
  const env = { REDISURL: redis.url, LEASE_REDIS_URLS: url, TASK: resolve('bench/tasks/intervalTask.mjs') };
  const first = startInstance(env);
  await first.logged(ELECTED);
  const second = startInstance(env);
  await second.logged('following');
  first.signal('SIGKILL');
  await second.logged(ELECTED);
  expect(await redis.client.call('ACL', 'LOG')).toEqual([]);
});
