import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'bullmq';
import { DeposedError } from '../../src/errors';
import { batchLimits, encodeBatch } from '../../src/generating/batch';
import { Committer } from '../../src/generating/committer';
import { keysOf } from '../../src/keys';
import { COUNT, exploreAll, isIdle, restarts, scheduleOf } from '../../model/explorer.cjs';
import { replay, WITHOUT } from '../../model/replay.cjs';
import { replayHands, WITHOUT as WITHOUT_OF_HANDS } from '../../model/replayHands.cjs';
import { redelivery } from '../../src/handling/redelivery';
import { parseRedisUrl } from '../../src/redis/address';
import { RedisConnector } from '../../src/redis/connector';
import { openQueue } from '../../src/redis/queue';
import { DURABLE, type RedisServer, startRedis } from '../helpers/redisServer';

interface Schedule {
  guard: string;
  model: string;
  says: string;
  steps: string[];
}

/** How many of the schedules run here; `npm run model -- --orders` runs all. */
const PART = 120;
/** And of those in which Redis is killed, one after the other. */
const KILLED_PART = 6;

const parts = {
  Committer,
  DeposedError,
  keysOf,
  RedisConnector,
  parseRedisUrl,
  encode: (messages: unknown[], cursor: unknown) => encodeBatch({ messages, cursor }, batchLimits(5000)),
};

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

describe('counterexamples of the model, replayed', () => {
  const directory = join(__dirname, '../../model/schedules');
  const schedules = readdirSync(directory).map(
    (name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as Schedule,
  );
  const ofModel = (model: string) => schedules.filter((schedule) => schedule.model === model);
  const guardsOf = (model: string) => ofModel(model).map(({ guard }) => guard);

  it('there is one for each guard that can be removed from the real program', () => {
    expect(guardsOf('protocol').sort()).toEqual(Object.keys(WITHOUT).sort());
    expect(guardsOf('messages').sort()).toEqual(Object.keys(WITHOUT_OF_HANDS).sort());
  });

  it.each(ofModel('protocol'))(
    '$guard: the schedule is refused with the guard and violates a promise without it',
    (schedule) => expectNeeded(schedule, (options) => replay(parts, redis, schedule, options)),
  );

  it.each(ofModel('messages'))(
    '$guard: the schedule is refused with the guard and violates a promise without it',
    (schedule) =>
      expectNeeded(schedule, (options) =>
        replayHands({ redelivery, openQueue, keysOf, Worker }, redis, schedule, options),
      ),
  );

  async function expectNeeded(
    { guard, steps }: Schedule,
    play: (options: {
      namespace: string;
      without: boolean;
    }) => Promise<{ violations: string[]; refused: string | undefined }>,
  ) {
    const kept = await play({ namespace: `with${guard}`, without: false });
    expect(kept.violations).toEqual([]);
    const broken = await play({ namespace: `without${guard}`, without: true });
    expect(broken).not.toMatchObject({ violations: [] });
    if (broken.refused !== undefined) expect(steps).toContain(broken.refused);
  }
});

/** Returns `count` of the possible schedules, spread evenly. */
function partOf(size: number, isWanted = (_faults: ReturnType<typeof scheduleOf>) => true) {
  const possible = Array.from({ length: COUNT }, (_, index) => index).filter((index) => {
    const faults = scheduleOf(index);
    return !isIdle(faults) && isWanted(faults);
  });
  return Array.from({ length: size }, (_, n) => possible[Math.floor((n * possible.length) / size)]!);
}

it(`the promises hold in every order of up to two faults around two commits (${PART} of them)`, async () => {
  expect(await exploreAll(parts, redis, partOf(PART))).toEqual([]);
});

it(`the promises hold when Redis is killed and restarted as well (${KILLED_PART} schedules)`, async () => {
  const durable = await startRedis(DURABLE);
  try {
    expect(await exploreAll(parts, durable, partOf(KILLED_PART, restarts), { kills: true })).toEqual([]);
  } finally {
    await durable.stop();
  }
});

it('the schedules detect a missing guard: a cursor that is no longer watched', async () => {
  const rewrite = (keys: ReturnType<typeof keysOf>) => (command: Buffer[]) =>
    command[0]!.toString().toUpperCase() === 'WATCH'
      ? command.filter((part) => part.toString() !== keys.source().cursor)
      : command;
  const failed = await exploreAll(parts, redis, [14005, 14030, 14055], { prefix: 'unwatched', rewrite });
  expect(failed.map(({ index }) => index).sort()).toEqual([14005, 14030, 14055]);
});
