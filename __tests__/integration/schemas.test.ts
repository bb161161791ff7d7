import { readFileSync } from 'node:fs';
import Ajv from 'ajv';
import { errorDetails, errorRecordOf } from '../../src/errorLog/record';
import { readGroup } from '../../src/group/read';
import { toStatus } from '../../src/group/status';
import { keysOf } from '../../src/keys';
import { LeaseNodes } from '../../src/leadership/lease';
import { generatorRole, keeperRole } from '../../src/leadership/role';
import { takeTerm } from '../../src/leadership/term';
import { openQueue } from '../../src/redis/queue';
import { type RedisServer, startRedis } from '../helpers/redisServer';

const keys = keysOf('nic');
let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

function problemsWith(file: string, value: unknown): unknown {
  const validate = new Ajv({ allErrors: true, strictTypes: false }).compile(
    JSON.parse(readFileSync(`schemas/${file}.json`, 'utf8')) as object,
  );
  return validate(JSON.parse(JSON.stringify(value))) ? [] : validate.errors;
}

const status = async () => {
  const leases = new LeaseNodes({ nodes: [redis.client], ttlMs: 5000 });
  const source = {
    client: redis.client,
    keys,
    namespace: 'nic',
    queue: openQueue(redis.client, keys),
    leases,
  };
  return toStatus(await readGroup(source));
};

it('status --json matches its schema for an empty group and for one with leaders and sources', async () => {
  expect(problemsWith('status', await status())).toEqual([]);
  const leases = new LeaseNodes({ nodes: [redis.client], ttlMs: 60_000 });
  for (const role of [keeperRole(keys), generatorRole(keys, 'east')]) {
    await leases.lease(role.keys.lease).acquire();
    await takeTerm(redis.client, keys, role, 'a');
  }
  await redis.client.hset(keys.source('east').cursor, { cursor: '{"page":2}', generated: 7, term: 1 });
  const full = await status();
  expect(full).toMatchObject({
    keeper: { instance: 'a', term: 1 },
    sources: [{ source: 'east', leader: { instance: 'a' }, generated: 7, cursor: { page: 2 } }],
  });
  expect(problemsWith('status', full)).toEqual([]);
  expect(problemsWith('status', { ...full, more: 1 })).not.toEqual([]);
});

it('an error record matches its schema, with causes and the errors of an AggregateError', () => {
  const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
  const thrown = new AggregateError([cause, new TypeError('no')], 'all failed', { cause });
  const record = errorRecordOf('1', {
    ...{ name: 'east', data: '{"n":1}', failedReason: 'all failed', stacktrace: '["Error: all failed"]' },
    ...{ atm: '2', finishedOn: '1700000000000', pb: 'a', error: errorDetails(thrown) },
  });
  expect(record).toMatchObject({ source: 'east', error: { errors: [{ code: 'ECONNREFUSED' }, {}] } });
  expect(problemsWith('errorRecord', record)).toEqual([]);
});
