import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { reclaimUndelivered } from '../../src/handling/undelivered';
import { MessageWorker } from '../../src/handling/worker';
import { JOB_NAME, keysOf } from '../../src/keys';
import type { Logger } from '../../src/logging/logger';
import { parseRedisUrl } from '../../src/redis/address';
import { RedisConnector } from '../../src/redis/connector';
import { openQueue } from '../../src/redis/queue';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Faults during which Redis refuses the commands of workers. */
interface Refusal {
  begin: (admin: Redis) => Promise<unknown>;
  end: (admin: Redis) => Promise<unknown>;
  /** How many of ten messages stay active during the fault after their handlers have ended. Default: all. */
  stillActive?: number;
}

const set = (name: string, refusing: string, usual: string): Refusal => ({
  begin: (admin) => admin.config('SET', name, refusing),
  end: (admin) => admin.config('SET', name, usual),
});

/** Closes the connections of the worker and prevents new ones. */
const locksOut = ({ begin, end }: Refusal): Refusal => ({
  async begin(admin) {
    await begin(admin);
    await admin.call('CLIENT', 'KILL', 'SKIPME', 'yes');
  },
  end,
});

const REFUSALS: Record<string, Refusal> = {
  'too few replicas (NOREPLICAS)': set('min-replicas-to-write', '1', '0'),
  // Redis completes scripts that have already written, so outcomes are stored, but nothing is delivered.
  'no memory (OOM)': { ...set('maxmemory', '1', '0'), stillActive: 0 },
  'a disk that is full (MISCONF)': {
    async begin(admin) {
      const [, directory] = (await admin.config('GET', 'dir')) as [string, string];
      mkdirSync(join(directory, 'a directory'), { recursive: true });
      await admin.config('SET', 'dbfilename', 'a directory');
      await admin.config('SET', 'save', '3600 1');
      await admin.bgsave();
      await waitFor(async () => (await admin.info()).includes('rdb_last_bgsave_status:err'), 'the failure');
    },
    end: (admin) => admin.config('SET', 'save', ''),
  },
  'a replica (READONLY)': {
    begin: (admin) => admin.replicaof('127.0.0.1', 1),
    end: (admin) => admin.replicaof('NO', 'ONE'),
  },
  'a busy script (BUSY)': {
    async begin(admin) {
      await admin.config('SET', 'busy-reply-threshold', '1');
      const busy = admin.duplicate();
      busy.eval('while true do end', 0).catch(() => busy.disconnect());
      await waitFor(
        () =>
          admin.ping().then(
            () => false,
            () => true,
          ),
        'a busy Redis',
      );
    },
    end: (admin) => admin.script('KILL'),
  },
  'a Redis that hangs': {
    begin: (admin) => Promise.resolve(void admin.debug('SLEEP', '1.2')),
    end: (admin) => admin.ping(),
  },
  'a changed password (NOAUTH)': locksOut(set('requirepass', 'other', '')),
  'too many clients': locksOut(set('maxclients', '1', '10000')),
};

let redis: RedisServer;
let connection: Redis;
let control: Redis;
let queue: Queue;
const warnings: string[] = [];
const ending = new AbortController();
const logger: Logger = {
  error: (text) => void warnings.push(text),
  warn: (text) => void warnings.push(text),
  info: () => undefined,
  debug: () => undefined,
  child: () => logger,
};

beforeAll(async () => {
  redis = await startRedis([
    '--save',
    '',
    '--enable-debug-command',
    'yes',
    '--enable-protected-configs',
    'yes',
  ]);
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.meta });
  [connection, control] = await Promise.all([connector.connect('queue'), connector.connect('control')]);
  queue = openQueue(redis.client, keys);
});

afterAll(async () => {
  ending.abort();
  connection.disconnect();
  control.disconnect();
  await redis.stop();
});

let worker: MessageWorker;
let reclaiming: Promise<void>;
let stopReclaiming: AbortController;
let handled: string[];
let handle: (message: unknown) => unknown;

beforeEach(async () => {
  await redis.client.flushall();
  warnings.length = 0;
  handled = [];
  worker = new MessageWorker({
    connection,
    keys,
    task: {
      handle(message, { id }) {
        handled.push(id);
        return handle(message);
      },
    },
    instance: 'a',
    config: {
      concurrency: 10,
      jobLockMs: 30_000,
      onStall: 'fail',
      keepCompleted: 10_000,
      handleTimeoutMs: undefined,
    },
    logger,
  });
  stopReclaiming = new AbortController();
  const options = {
    connection,
    client: control,
    queue,
    keys,
    instance: 'a',
    worker,
    logger,
  };
  reclaiming = reclaimUndelivered(options)({ signal: stopReclaiming.signal, progress: () => undefined });
  worker.resume();
});

afterEach(async () => {
  stopReclaiming.abort();
  await reclaiming;
  await worker.stop(0);
});

const addMessages = (count: number) =>
  queue.addBulk(Array.from({ length: count }, (_, data) => ({ name: JOB_NAME, data })));

/** Expects that every message was handled once, and completed if its handler succeeded. */
async function expectHandledOnce(count: number, failed = 0) {
  await waitFor(async () => (await queue.getJobCounts()).completed === count - failed, 'completion').catch(
    () => undefined,
  );
  await waitFor(() => worker.activeCount === 0, 'all outcomes');
  expect(await queue.getJobCounts()).toMatchObject({
    waiting: 0,
    active: 0,
    delayed: 0,
    completed: count - failed,
    failed,
  });
  expect(handled.toSorted()).toEqual([...new Set(handled)].toSorted());
  expect(worker.counts).toEqual({ handled: count - failed, failed });
  expect(warnings.filter((text) => text.includes('never arrived'))).toEqual([]);
}

it.each(Object.entries(REFUSALS))(
  'every outcome is stored and no message is handled twice while Redis refuses commands for a second: %s',
  async (_, { begin, end, stillActive = 10 }) => {
    let release = () => undefined as void;
    const released = new Promise<void>((resolve) => (release = resolve));
    handle = async (message) => {
      await released;
      if (Number(message) % 5 === 0) throw new Error('as it should');
    };
    await addMessages(10);
    await waitFor(() => worker.activeCount === 10, 'ten active messages');
    await begin(redis.client);
    release();
    await sleep(1000);
    const active = worker.activeCount;
    await end(redis.client);
    expect(active).toBe(stillActive);
    await expectHandledOnce(10, 2);
  },
);

it('hundreds of short refusals under load neither duplicate nor fail a message', async () => {
  handle = () => sleep(1);
  const spells = 200;
  let done = false;
  const loading = (async () => {
    let count = 0;
    for (; !done; count += 10) {
      await addMessages(10).catch(() => undefined);
      await sleep(5);
    }
    return count;
  })();
  const { begin, end } = REFUSALS['too few replicas (NOREPLICAS)']!;
  for (let spell = 0; spell < spells; spell++) {
    await begin(redis.client);
    await sleep(3);
    await end(redis.client);
    await sleep(3);
  }
  done = true;
  await loading;
  await expectHandledOnce(Number(await redis.client.get(keys.jobCounter)));
});
