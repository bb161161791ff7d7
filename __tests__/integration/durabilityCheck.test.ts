import { killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { findRisks } from '../../src/redis/durabilityCheck';

let redis: RedisServer | undefined;

afterEach(async () => {
  await killAll();
  await redis?.stop();
  redis = undefined;
});

it('a durable Redis is not a risk', async () => {
  redis = await startRedis(['--appendonly', 'yes']);
  expect(await findRisks(redis.client)).toEqual([]);
});

it('a Redis that evicts keys and has no persistence is warned about once at start, with the remedy', async () => {
  redis = await startRedis(['--save', '', '--maxmemory-policy', 'allkeys-lru']);
  expect(await findRisks(redis.client)).toHaveLength(2);
  const instance = startInstance({ REDISURL: redis.url });
  await instance.logged('started');
  const warnings = instance.log.filter(({ level }) => level === 'warn').map(({ message }) => message);
  expect(warnings).toEqual([
    expect.stringMatching(/maxmemory-policy allkeys-lru.*set maxmemory-policy noeviction/),
    expect.stringMatching(/no append-only file.*set appendonly yes/),
  ]);
});

it('with STRICT_REDIS=true such a Redis is refused with exit code 1 and one line', async () => {
  redis = await startRedis();
  const { code, stdout, stderr } = await runCommand([], {
    REDISURL: redis.url,
    BOARD: 'off',
    STRICT_REDIS: 'true',
  });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^error: STRICT_REDIS: Redis keeps no append-only file.*\n$/);
});

it('replicas without a required minimum for writes are a risk', async () => {
  redis = await startRedis(['--appendonly', 'yes']);
  const replica = await startRedis(['--save', '', '--replicaof', `127.0.0.1 ${redis.port}`]);
  try {
    for (;;) if (/connected_slaves:1/.test(await redis.client.info('replication'))) break;
    expect(await findRisks(redis.client)).toEqual([expect.stringMatching(/min-replicas-to-write/)]);
    await redis.client.config('SET', 'min-replicas-to-write', '1');
    expect(await findRisks(redis.client)).toEqual([]);
  } finally {
    await replica.stop();
  }
});

it('a user without the right to INFO is told what was not checked', async () => {
  redis = await startRedis();
  await redis.client.acl('SETUSER', 'default', '-info');
  expect(await findRisks(redis.client)).toEqual([expect.stringMatching(/not checked/)]);
});
