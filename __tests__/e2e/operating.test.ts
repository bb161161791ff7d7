import { resolve } from 'node:path';
import { Queue } from 'bullmq';
import { keysOf } from '../../src/keys';
import { readLeader } from '../../src/leadership/term';
import { setCursor } from '../../src/operating/cursor';
import { pauseGroup, resumeGroup } from '../../src/operating/pause';
import { history } from '../helpers/history';
import { ELECTED, type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
const TIMES = Number(process.env['TIMES'] ?? 5);
let redis: RedisServer;
let running: InstanceProcess[];
let queue: Queue;

beforeEach(async () => {
  redis = await startRedis();
  running = [];
  queue = new Queue('messages', { connection: redis.client, prefix: '{nic}', skipMetasUpdate: true });
  queue.on('error', () => undefined);
});

afterEach(async () => {
  await killAll();
  await redis.stop();
});

/** Handling is paused, so the queue shows what was committed. */
async function group(size: number, more: Record<string, string> = {}): Promise<void> {
  await queue.pause();
  for (let i = 0; i < size; i++) running.push(start(more));
  await waitFor(async () => (await position()) > 0, 'the first messages');
}

const start = (more: Record<string, string> = {}) =>
  startInstance({
    ...{ REDISURL: redis.url, TASK: resolve('__tests__/fixtures/countingTask.mjs') },
    ...{ MAX_BACKLOG: '1000000', LEASE_TTL_MS: '600', ...more },
  });
const position = async () => Number((await redis.client.hget(keys.source().cursor, 'generated')) ?? 0);
const cursor = () => redis.client.hget(keys.source().cursor, 'cursor');
const leader = async () => (await readLeader(redis.client, keys.source()))!;
const generator = async () => {
  const { instance } = await leader();
  return running.find(({ name }) => name === instance);
};
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Faults that strike the group during the operations, one after another. */
const FAULTS = [
  () => undefined,
  async () => {
    const victim = await generator();
    victim?.signal('SIGKILL');
    running = [...running.filter((each) => each !== victim), start()];
  },
  () => redis.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
  async () => {
    const victim = await generator();
    victim?.signal('SIGSTOP');
    setTimeout(() => victim?.signal('SIGCONT'), 900);
  },
];

it('after a rewind under load nothing is committed from an older position, and nothing before it is lost', async () => {
  await group(2);
  const expected: number[] = [];
  let from = 0;
  for (let time = 0; time < TIMES; time++) {
    const before = await position();
    await waitFor(async () => (await position()) >= before + 15, 'some messages');
    // The fault and the move coincide.
    const fault = Promise.resolve(FAULTS[time % FAULTS.length]!()).catch(() => undefined);
    const to = Math.floor(Math.random() * 50) * 5;
    const moved = await setCursor({ client: redis.client, keys }, { cursorJson: String(to), by: 'me@here' });
    if (!moved.moved) throw new Error('not moved');
    for (let n = from + 1; n <= Number(moved.from); n++) expected.push(n);
    from = to;
    await fault;
  }
  await waitFor(async () => Number(await cursor()) > from, 'messages after the last move');
  const found = (await history<number>(redis.client)).map(({ message }) => message);
  for (let n = from + 1; expected.length < found.length; n++) expected.push(n);
  expect(found).toEqual(expected);
});

it('no batch is committed after a pause under load has returned', async () => {
  await group(2);
  for (let time = 0; time < TIMES; time++) {
    const before = await position();
    await waitFor(async () => (await position()) >= before + 15, 'some messages');
    const fault = Promise.resolve(FAULTS[time % FAULTS.length]!()).catch(() => undefined);
    const request = { what: 'generating', by: 'me@here' } as const;
    await pauseGroup({ client: redis.client, keys, queue }, request);
    const paused = await position();
    await fault;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await position()).toBe(paused);
    await resumeGroup({ client: redis.client, keys, queue }, request);
  }
  const found = (await history<number>(redis.client)).map(({ message }) => message);
  expect(found).toEqual(found.map((_, index) => index + 1));
});

// On a machine that does nothing else it is less than 100 ms for a move, and less than 50 ms for a handover.
it('moving the cursor and a handover hardly interrupt generating', async () => {
  await group(2, { LEASE_TTL_MS: '5000' });
  const gaps: number[] = [];
  for (let time = 0; time < 5; time++) {
    const startedAt = performance.now();
    await setCursor({ client: redis.client, keys }, { cursorJson: '-1000000', by: 'me@here' });
    await waitFor(async () => (await cursor()) !== '-1000000', 'messages', 10_000, 1);
    gaps.push(performance.now() - startedAt);
  }
  expect(median(gaps)).toBeLessThan(400);

  const before = await leader();
  const { code, stdout } = await runCommand(['handover'], { REDISURL: redis.url });
  const after = await leader();
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: `${after.instance} is the generator now, term ${after.term}\n`,
  });
  expect(after.instance).not.toBe(before.instance);
  const stepped = await generatorNamed(before.instance).logged(
    ({ cause, role }) => cause === 'handed over' && role === undefined,
  );
  const elected = generatorNamed(after.instance).log.findLast(({ message }) => message === ELECTED)!;
  expect(Date.parse(String(elected['timestamp'])) - Date.parse(String(stepped['timestamp']))).toBeLessThan(
    400,
  );

  const nobody = await runCommand(['handover', 'nobody'], { REDISURL: redis.url });
  expect(nobody).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('"nobody" is not alive') as string,
  });
  expect(await leader()).toEqual(after);
});

const generatorNamed = (name: string) => running.find((each) => each.name === name)!;

it('generation stops with one error line when keys are deleted by hand, until an operator says where to continue', async () => {
  await group(2);
  // An instance that has not seen the term yet could take the first one of a group that looks new.
  const follows = ({ log }: InstanceProcess) =>
    log.some((line) => line.message === 'following' && line['generator'] !== undefined);
  await waitFor(() => running.some(follows), 'the other instance to follow');
  const found = await redis.client.keys('*');
  await redis.client.unlink(...found);
  const errors = () =>
    running.flatMap(({ log }) =>
      log.filter(({ level, message }) => level === 'error' && message.includes('cursor reset')),
    );
  await waitFor(() => errors().length > 0, 'the line');
  await waitFor(
    async () => (await redis.client.hgetall(keys.source().leader))['term'] !== undefined,
    'a term',
  );
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(errors()).toHaveLength(1);
  expect(await position()).toBe(0);
  const { stdout } = await runCommand(['status', '--json'], { REDISURL: redis.url });
  expect(JSON.parse(stdout)).toMatchObject({ sources: [{ state: 'failed' }] });
  // The next generator does not start from the beginning either.
  (await generator())!.signal('SIGKILL');
  await waitFor(() => errors().length > 1, 'the line of the next generator');
  expect(await position()).toBe(0);
  expect((await runCommand(['cursor', 'set', '40'], { REDISURL: redis.url })).code).toBe(0);
  await waitFor(async () => Number(await cursor()) > 40, 'messages');
  expect((await history<number>(redis.client))[0]).toMatchObject({ message: 41 });
});

it('generation also stops when only the cursor is deleted by hand, but not when a restarted Redis has lost writes', async () => {
  await group(1);
  await redis.client.del(keys.source().cursor);
  await running[0]!.logged(({ level, message }) => level === 'error' && message.includes('cursor reset'));
  expect((await runCommand(['cursor', 'reset'], { REDISURL: redis.url })).code).toBe(0);
  await waitFor(async () => (await position()) > 0, 'messages');
  await redis.kill();
  await redis.restart();
  await waitFor(async () => (await position()) > 0, 'messages');
  expect(running[0]!.log.filter(({ level }) => level === 'error')).toHaveLength(1);
});

it('a rolling restart changes the generator at most twice', async () => {
  const size = Number(process.env['SIZE'] ?? 3);
  await group(size);
  const { term } = await leader();
  for (const old of [...running]) {
    const next = start();
    await next.started();
    running.push(next);
    old.signal('SIGTERM');
    expect(await old.exited).toBe(0);
  }
  expect((await leader()).term - term).toBeLessThanOrEqual(2);
});
