import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeposedError } from '../../src/errors';
import { batchLimits, encodeBatch } from '../../src/generating/batch';
import { Committer } from '../../src/generating/committer';
import { keysOf } from '../../src/keys';
import { COUNT, exploreAll, isIdle, scheduleOf } from '../../model/explorer.cjs';
import { replay, WITHOUT } from '../../model/replay.cjs';
import { parseRedisUrl } from '../../src/redis/address';
import { RedisConnector } from '../../src/redis/connector';
import { type RedisServer, startRedis } from '../helpers/redisServer';

/** How many of the schedules run here; `npm run model -- --orders` runs all. */
const PART = 300;

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
    (name) =>
      JSON.parse(readFileSync(join(directory, name), 'utf8')) as {
        guard: string;
        says: string;
        steps: string[];
      },
  );

  it('there is one for each guard that can be taken out of the real committer', () => {
    expect(schedules.map(({ guard }) => guard).sort()).toEqual(Object.keys(WITHOUT).sort());
  });

  it.each(schedules)('$guard: refused with the guard, violated without it', async (schedule) => {
    const kept = await replay(parts, redis, schedule, {
      namespace: `with${schedule.guard}`,
      without: false,
    });
    expect(kept.violations).toEqual([]);
    const broken = await replay(parts, redis, schedule, {
      namespace: `without${schedule.guard}`,
      without: true,
    });
    expect(broken).not.toMatchObject({ violations: [] });
  });
});

it(`every order of up to two faults around two commits: ${PART} of them`, async () => {
  const possible = Array.from({ length: COUNT }, (_, index) => index).filter(
    (index) => !isIdle(scheduleOf(index)),
  );
  const step = possible.length / PART;
  const part = Array.from({ length: PART }, (_, index) => possible[Math.floor(index * step)]!);
  expect(await exploreAll(parts, redis, part)).toEqual([]);
});

it('the schedules find what they are there to find: the cursor is not watched any more', async () => {
  const rewrite = (keys: ReturnType<typeof keysOf>) => (command: Buffer[]) =>
    command[0]!.toString().toUpperCase() === 'WATCH'
      ? command.filter((part) => part.toString() !== keys.cursor)
      : command;
  const failed = await exploreAll(parts, redis, [14005, 14030, 14055], { prefix: 'unwatched', rewrite });
  expect(failed.map(({ index }) => index).sort()).toEqual([14005, 14030, 14055]);
});
