import { keysOf } from '../../src/keys';
import { createProbes, type ProbedParts } from '../../src/instance/readiness';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { Redis } from 'ioredis';

const keys = keysOf('nic');

let redis: RedisServer;
let subscriber: Redis;

beforeAll(async () => {
  redis = await startRedis();
  subscriber = new Redis(redis.port, { disconnectTimeout: 100 });
  // The answer to PING shows that the examined connection is ready.
  await Promise.all([subscriber.subscribe(keys.presence('me')), redis.client.ping()]);
});

afterAll(async () => {
  subscriber.disconnect();
  await redis.stop();
});

/** Returns the problems of an instance; by default none. */
async function found(parts: Partial<ProbedParts>): Promise<[string, string][]> {
  const { readiness } = createProbes({
    connections: { control: redis.client, queue: redis.client },
    keys,
    instance: 'me',
    worker: { works: true, activeCount: 0, slowCount: 0, oldestActiveMs: 0 },
    elections: { led: [], overdue: false },
    supervisor: { stalled: [], names: ['heartbeat'] },
    generators: [],
    group: undefined as never,
    stopped: new AbortController().signal,
    metrics: undefined,
    ...parts,
  });
  const { ready, checks } = await readiness();
  const wrong = Object.entries(checks).filter(([, text]) => text !== 'ok');
  expect(ready).toBe(wrong.length === 0);
  return wrong;
}

it.each<[string, Partial<ProbedParts>, [string, string][]]>([
  ['one that does all it has to', {}, []],
  [
    'one whose activities make no progress',
    {
      supervisor: {
        stalled: [
          { name: 'error recorder', forMs: 7400 },
          { name: 'heartbeat', forMs: 5000 },
        ],
        names: [],
      },
    },
    [['activities', 'no progress: error recorder for 7 s, heartbeat for 5 s']],
  ],
  [
    'a leader that could not renew',
    { elections: { led: [], overdue: true } },
    [['leadership', 'leads, but could not renew its lease in time']],
  ],
  [
    'a generator whose commit has no answer',
    { generators: [{ duty: { waitingMs: 4200, problem: undefined } }] },
    [['commits', 'Redis has not answered a commit for 4 s']],
  ],
  [
    'a generator that cannot commit to what Redis holds',
    { generators: [{ duty: { waitingMs: 0, problem: 'text from elsewhere' } }] },
    [['commits', 'Redis holds data that commits cannot use: see the log']],
  ],
  [
    'a worker that has ended',
    { worker: { works: false, activeCount: 0, slowCount: 0, oldestActiveMs: 0 } },
    [['worker', 'has stopped']],
  ],
  [
    'an instance that nobody sees',
    { instance: 'other' },
    [['presence', 'is not subscribed: the other instances consider this one dead']],
  ],
  ['one that is being stopped', { stopped: AbortSignal.abort() }, [['instance', 'is shutting down']]],
  [
    'several things at once',
    {
      stopped: AbortSignal.abort(),
      worker: { works: false, activeCount: 1, slowCount: 0, oldestActiveMs: 0 },
    },
    [
      ['instance', 'is shutting down'],
      ['worker', 'has stopped'],
    ],
  ],
])('names the problem: %s', async (_, parts, expected) => {
  expect(await found(parts)).toEqual(expected);
});

it('a lost connection is named without sending a command on it', async () => {
  const lost = new Redis(redis.port, { lazyConnect: true });
  const connections = { control: lost, queue: redis.client } as ProbedParts['connections'];
  expect(await found({ connections })).toEqual([
    ['redis', 'is away'],
    ['presence', 'is not known without Redis'],
  ]);
  expect(await found({ connections: { control: redis.client, queue: lost } })).toEqual([
    ['redis', 'is away from the queue'],
  ]);
});
