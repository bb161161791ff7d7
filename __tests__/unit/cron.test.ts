import { resolve } from 'node:path';
import fc from 'fast-check';
import { type ModuleHost, openModuleHost } from '../helpers/moduleHost';

const CRON = resolve('examples/cron.mjs');

interface Batch {
  messages: { scheduledFor: string }[];
  cursor: string;
  /** The time that the clock showed. */
  at: number;
}
interface Run {
  batches: Batch[];
  sleeps: number[];
  lines: { level: string; message: string; [field: string]: unknown }[];
}
interface Options {
  expression: string;
  zone?: string;
  missed?: 'makeup' | 'skip';
  cursor?: string;
  start: string;
  end?: string;
  max?: number;
  jumps?: { at: string; to: string }[];
}

let host: ModuleHost;

beforeAll(async () => {
  host = await openModuleHost();
});
afterAll(() => host.close());

const at = (text: string) => Date.parse(text);

async function run({ start, end, jumps = [], ...options }: Options): Promise<Run> {
  return host.run<Run>('cron', {
    module: CRON,
    ...options,
    start: at(start),
    end: end === undefined ? Infinity : at(end),
    jumps: jumps.map((jump) => ({ at: at(jump.at), to: at(jump.to) })),
  });
}

const ticksOf = ({ batches }: Run) =>
  batches.flatMap(({ messages }) => messages.map(({ scheduledFor }) => scheduledFor));

/** Returns the ticks after `after` as local times in `zone`, with their offset from UTC. */
async function wallTicks(expression: string, zone: string, after: string, count: number): Promise<string[]> {
  const options = { module: CRON, expression, zone, times: [at(after)], count };
  const [ticks] = await host.run<number[][]>('ticks', options);
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    ...{ day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZoneName: 'longOffset' },
  });
  return ticks!.map((tick) => format.format(tick).replace(',', '').replace('GMT', ''));
}

describe('when clocks are set forward', () => {
  it.each<[string, string, string, string[]]>([
    // In Berlin at 01:00 UTC: 02:00 to 03:00 are skipped.
    ['0 2 * * *', 'Europe/Berlin', '2024-03-30T12:00Z', ['31 03:00 +02:00', '01 02:00 +02:00']],
    ['30 2 * * *', 'Europe/Berlin', '2024-03-30T12:00Z', ['31 03:30 +02:00', '01 02:30 +02:00']],
    // The same instant twice is one tick.
    ['30 2,3 * * *', 'Europe/Berlin', '2024-03-30T12:00Z', ['31 03:30 +02:00', '01 02:30 +02:00']],
    [
      '30 1,2,3 * * *',
      'Europe/Berlin',
      '2024-03-30T12:00Z',
      ['31 01:30 +01:00', '31 03:30 +02:00', '01 01:30 +02:00'],
    ],
    [
      '*/30 2 * * *',
      'Europe/Berlin',
      '2024-03-30T12:00Z',
      ['31 03:00 +02:00', '31 03:30 +02:00', '01 02:00 +02:00'],
    ],
    // "Every hour" follows the local clock, so nothing is generated later.
    [
      '*/30 * * * *',
      'Europe/Berlin',
      '2024-03-31T00:15Z',
      ['31 01:30 +01:00', '31 03:00 +02:00', '31 03:30 +02:00', '31 04:00 +02:00'],
    ],
    [
      '0 */2 * * *',
      'Europe/Berlin',
      '2024-03-30T22:00Z',
      ['31 00:00 +01:00', '31 03:00 +02:00', '31 04:00 +02:00', '31 06:00 +02:00'],
    ],
    ['0 12 * * *', 'Europe/Berlin', '2024-03-30T10:00Z', ['30 12:00 +01:00', '31 12:00 +02:00']],
    // In New York at 07:00 UTC.
    ['30 2 * * *', 'America/New_York', '2024-03-09T12:00Z', ['10 03:30 -04:00', '11 02:30 -04:00']],
    [
      '*/20 * * * *',
      'America/New_York',
      '2024-03-10T06:30Z',
      ['10 01:40 -05:00', '10 03:00 -04:00', '10 03:20 -04:00'],
    ],
    // On Lord Howe Island by half an hour: 02:00 to 02:30 are skipped.
    ['0 2 * * *', 'Australia/Lord_Howe', '2024-10-05T12:00Z', ['06 02:30 +11:00', '07 02:00 +11:00']],
    ['30 2 * * *', 'Australia/Lord_Howe', '2024-10-05T12:00Z', ['06 02:30 +11:00', '07 02:30 +11:00']],
    [
      '10,20,35 2 * * *',
      'Australia/Lord_Howe',
      '2024-10-05T12:00Z',
      ['06 02:35 +11:00', '06 02:40 +11:00', '06 02:50 +11:00', '07 02:10 +11:00'],
    ],
    [
      '*/20 * * * *',
      'Australia/Lord_Howe',
      '2024-10-05T15:00Z',
      ['06 01:40 +10:30', '06 02:40 +11:00', '06 03:00 +11:00'],
    ],
    // In Cairo midnight is skipped, and in Nuuk the last hour of the day.
    ['0 0 * * *', 'Africa/Cairo', '2024-04-25T12:00Z', ['26 01:00 +03:00', '27 00:00 +03:00']],
    ['30 23 * * *', 'America/Nuuk', '2024-03-30T12:00Z', ['31 00:30 -01:00', '31 23:30 -01:00']],
    // In Samoa a whole day was skipped.
    ['0 12 * * *', 'Pacific/Apia', '2011-12-29T12:00Z', ['29 12:00 -10:00', '31 12:00 +14:00']],
  ])('%s in %s after %s', async (expression, zone, after, expected) => {
    expect(await wallTicks(expression, zone, after, expected.length)).toEqual(expected);
  });
});

describe('when clocks are set back', () => {
  it.each<[string, string, string, string[]]>([
    // In Berlin at 01:00 UTC: 02:00 to 03:00 repeat.
    ['0 2 * * *', 'Europe/Berlin', '2024-10-26T12:00Z', ['27 02:00 +02:00', '28 02:00 +01:00']],
    ['30 2 * * *', 'Europe/Berlin', '2024-10-26T12:00Z', ['27 02:30 +02:00', '28 02:30 +01:00']],
    ['0 3 * * *', 'Europe/Berlin', '2024-10-26T12:00Z', ['27 03:00 +01:00', '28 03:00 +01:00']],
    // The same holds for a generator that starts or takes over in the middle.
    ['30 2 * * *', 'Europe/Berlin', '2024-10-27T00:30Z', ['28 02:30 +01:00']],
    ['30 2 * * *', 'Europe/Berlin', '2024-10-27T00:59Z', ['28 02:30 +01:00']],
    ['30 2 * * *', 'Europe/Berlin', '2024-10-27T01:29Z', ['28 02:30 +01:00']],
    [
      '*/30 2,3 * * *',
      'Europe/Berlin',
      '2024-10-26T12:00Z',
      ['27 02:00 +02:00', '27 02:30 +02:00', '27 03:00 +01:00', '27 03:30 +01:00', '28 02:00 +01:00'],
    ],
    [
      '*/30 * * * *',
      'Europe/Berlin',
      '2024-10-26T23:45Z',
      ['27 02:00 +02:00', '27 02:30 +02:00', '27 02:00 +01:00', '27 02:30 +01:00', '27 03:00 +01:00'],
    ],
    [
      '0 */2 * * *',
      'Europe/Berlin',
      '2024-10-26T21:30Z',
      ['27 00:00 +02:00', '27 02:00 +02:00', '27 04:00 +01:00', '27 06:00 +01:00'],
    ],
    // In New York at 06:00 UTC: 01:00 to 02:00 repeat.
    ['30 1 * * *', 'America/New_York', '2024-11-02T12:00Z', ['03 01:30 -04:00', '04 01:30 -05:00']],
    [
      '*/30 * * * *',
      'America/New_York',
      '2024-11-03T05:15Z',
      ['03 01:30 -04:00', '03 01:00 -05:00', '03 01:30 -05:00', '03 02:00 -05:00'],
    ],
    // On Lord Howe Island: 01:30 to 02:00 repeat.
    ['45 1 * * *', 'Australia/Lord_Howe', '2024-04-06T12:00Z', ['07 01:45 +11:00', '08 01:45 +10:30']],
    [
      '*/20 * * * *',
      'Australia/Lord_Howe',
      '2024-04-06T14:30Z',
      ['07 01:40 +11:00', '07 01:40 +10:30', '07 02:00 +10:30'],
    ],
  ])('%s in %s after %s', async (expression, zone, after, expected) => {
    expect(await wallTicks(expression, zone, after, expected.length)).toEqual(expected);
  });
});

it('ticks match a search through every minute, from any start, in many zones', async () => {
  const minutes = fc.oneof(
    fc.constant<number[]>([]),
    fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { minLength: 1, maxLength: 4 }),
    fc.constantFrom<number[]>([0], [30], [0, 15, 30, 45], [59]),
  );
  const hours = fc.oneof(
    fc.constant<number[]>([]),
    fc.uniqueArray(fc.integer({ min: 0, max: 23 }), { minLength: 1, maxLength: 6 }),
    fc.constantFrom<number[]>([0], [1], [2], [3], [23], [0, 1, 2, 3], [0, 23]),
  );
  const change = fc.constantFrom<[string, string]>(
    ['Europe/Berlin', '2024-03-31T01:00Z'],
    ['Europe/Berlin', '2024-10-27T01:00Z'],
    ['America/New_York', '2024-03-10T07:00Z'],
    ['America/New_York', '2024-11-03T06:00Z'],
    ['Australia/Lord_Howe', '2024-10-05T15:30Z'],
    ['Australia/Lord_Howe', '2024-04-06T15:00Z'],
    ['Africa/Cairo', '2024-04-25T22:00Z'],
    ['Africa/Cairo', '2024-10-31T21:00Z'],
    ['America/Santiago', '2024-09-08T04:00Z'],
    ['America/Nuuk', '2024-03-31T01:00Z'],
    ['America/Nuuk', '2024-10-27T01:00Z'],
    ['America/St_Johns', '2006-04-02T03:31Z'],
    ['America/St_Johns', '2006-10-29T02:31Z'],
    ['Antarctica/Troll', '2024-03-31T01:00Z'],
    ['Antarctica/Troll', '2024-10-27T01:00Z'],
    ['Asia/Kathmandu', '2024-06-01T00:00Z'],
    ['UTC', '2024-06-01T00:00Z'],
  );
  await fc.assert(
    fc.asyncProperty(
      change,
      minutes,
      hours,
      fc.array(fc.integer({ min: 0, max: 60 * 60 }), { maxLength: 5 }),
      async ([zone, changesAt], minute, hour, offsets) => {
        const from = at(changesAt) - 30 * HOUR;
        const expected = everyMinute(zone, from, 60, new Set(minute), new Set(hour));
        const expression = `${listOf(minute)} ${listOf(hour)} * * *`;
        const options = { module: CRON, expression, zone };
        const found = await host.run<number[][]>('ticks', {
          ...options,
          times: [from],
          count: Math.max(1, expected.length),
        });
        if (expected.length > 0) expect(found[0]!.map(isoOf)).toEqual(expected.map(isoOf));
        const times = offsets.map((offset) => from + offset * 60_000 + 1);
        const following = await host.run<number[][]>('ticks', { ...options, times });
        times.forEach((time, index) => {
          const next = expected.find((tick) => tick > time);
          if (next !== undefined) expect(isoOf(following[index]![0]!)).toBe(isoOf(next));
        });
      },
    ),
    { numRuns: 30 },
  );
});

describe('a tick', () => {
  it.each<[string, string, string[]]>([
    ['of seconds', '*/20 * * * * *', ['00:00:20', '00:00:40', '00:01:00']],
    [
      'of names',
      '0 6 * jan mon-fri',
      ['2024-01-01T06', '2024-01-02T06', '2024-01-03T06', '2024-01-04T06', '2024-01-05T06'],
    ],
    ['of thursdays', '0 0 * * THU', ['2024-01-04', '2024-01-11']],
    ['of sundays by 7', '0 0 * * 7', ['2024-01-07', '2024-01-14']],
    ['of a day or a weekday', '0 0 13 * 5', ['01-05', '01-12', '01-13', '01-19']],
    ['of the last day of a month', '0 0 L * *', ['2024-01-31', '2024-02-29', '2024-03-31']],
    ['of the second monday', '0 0 * * 1#2', ['2024-01-08', '2024-02-12']],
    ['of the last friday', '0 0 * * 5L', ['2024-01-26', '2024-02-23']],
    ['of leap days', '0 0 29 2 *', ['2024-02-29', '2028-02-29', '2032-02-29']],
    ['of leap days that are mondays', '0 0 * 2 1#5', ['2044-02-29', '2072-02-29']],
    ['with spaces around', '  5   0 * *  * ', ['01T00:05', '02T00:05']],
  ])('%s', async (_, expression, expected) => {
    const times = [at('2024-01-01T00:00:00Z')];
    const [ticks] = await host.run<number[][]>('ticks', {
      ...{ module: CRON, expression, zone: 'UTC', times },
      count: expected.length,
    });
    ticks!.map(isoOf).forEach((tick, index) => expect(tick).toContain(expected[index]));
  });
});

describe('generating', () => {
  it('begins with the next tick after now, and stores its start time', async () => {
    const found = await run({
      expression: '* * * * * *',
      start: '2024-05-01T12:00:00.250Z',
      end: '2024-05-01T12:00:03.500Z',
    });
    expect(found.batches).toEqual([
      { messages: [], cursor: '2024-05-01T12:00:00.250Z', at: at('2024-05-01T12:00:00.250Z') },
      ...['01', '02', '03'].map((second) => ({
        messages: [{ scheduledFor: `2024-05-01T12:00:${second}.000Z` }],
        cursor: `2024-05-01T12:00:${second}.000Z`,
        at: at(`2024-05-01T12:00:${second}.000Z`),
      })),
    ]);
    expect(found.sleeps.slice(0, 3)).toEqual([750, 1000, 1000]);
    expect(found.lines).toEqual([]);
  });

  it('yields the same ticks from any cursor as an uninterrupted run', async () => {
    const options = { expression: '*/7 * * * *', zone: 'Europe/Berlin', end: '2024-10-27T03:00:00Z' };
    const start = '2024-10-26T23:50:00Z';
    const whole = await run({ ...options, start });
    const ticks = ticksOf(whole);
    expect(ticks).toHaveLength(28);
    for (const [index, { cursor }] of whole.batches.entries()) {
      const rest = await run({ ...options, start: '2024-10-27T02:55:30Z', cursor });
      expect(ticksOf(rest)).toEqual(ticks.slice(index));
    }
  });

  it('checks the clock at least every minute, however distant the next tick is', async () => {
    const found = await run({
      expression: '0 0 1 1 *',
      start: '2024-02-01T00:00:00.000Z',
      end: '2024-02-01T01:00:00.000Z',
    });
    expect(ticksOf(found)).toEqual([]);
    expect(found.sleeps).toEqual(Array<number>(60).fill(60_000));
  });

  it('generates the ticks that were missed without a leader, and logs it', async () => {
    const found = await run({
      expression: '*/10 * * * *',
      cursor: '2024-05-01T12:00:00.000Z',
      start: '2024-05-01T12:34:00.000Z',
      end: '2024-05-01T12:41:00.000Z',
    });
    expect(found.batches.map(({ messages }) => messages.length)).toEqual([3, 1]);
    expect(ticksOf(found).map((tick) => tick.slice(11, 16))).toEqual(['12:10', '12:20', '12:30', '12:40']);
    expect(found.lines).toEqual([
      {
        level: 'info',
        message: 'making up for ticks that were missed',
        since: '2024-05-01T12:00:00.000Z',
      },
    ]);
  });

  it('permanently skips missed ticks with MISSED=skip', async () => {
    const found = await run({
      expression: '*/10 * * * *',
      missed: 'skip',
      cursor: '2024-05-01T12:00:00.000Z',
      start: '2024-05-01T12:34:00.000Z',
      end: '2024-05-01T12:51:00.000Z',
    });
    expect(found.batches[0]).toMatchObject({ messages: [], cursor: '2024-05-01T12:34:00.000Z' });
    expect(ticksOf(found).map((tick) => tick.slice(11, 16))).toEqual(['12:40', '12:50']);
    expect(found.lines).toEqual([
      { level: 'warn', message: 'ticks were missed and are left out', since: '2024-05-01T12:00:00.000Z' },
    ]);
  });

  it('skips neither ticks on time nor late ticks with MISSED=skip', async () => {
    const found = await run({
      expression: '* * * * * *',
      missed: 'skip',
      cursor: '2024-05-01T12:00:00.000Z',
      start: '2024-05-01T12:00:00.400Z',
      end: '2024-05-01T12:00:09.500Z',
      // The event loop was blocked for a while.
      jumps: [{ at: '2024-05-01T12:00:03.000Z', to: '2024-05-01T12:00:06.700Z' }],
    });
    expect(ticksOf(found)).toHaveLength(9);
    expect(found.lines).toEqual([]);
  });

  it.each<['makeup' | 'skip', string[]]>([
    ['makeup', ['12:10', '12:20', '12:30', '12:40', '12:50', '13:00']],
    ['skip', ['12:10', '13:00']],
  ])('handles a suspended machine with MISSED=%s', async (missed, expected) => {
    const found = await run({
      expression: '*/10 * * * *',
      missed,
      start: '2024-05-01T12:05:00.000Z',
      end: '2024-05-01T13:05:00.000Z',
      jumps: [{ at: '2024-05-01T12:15:00.000Z', to: '2024-05-01T12:57:00.000Z' }],
    });
    expect(ticksOf(found).map((tick) => tick.slice(11, 16))).toEqual(expected);
  });

  it('repeats no tick when the clock is set back, and logs that it is waiting', async () => {
    const found = await run({
      expression: '*/10 * * * *',
      start: '2024-05-01T12:05:00.000Z',
      end: '2024-05-01T12:55:00.000Z',
      jumps: [{ at: '2024-05-01T12:42:00.000Z', to: '2024-05-01T12:02:00.000Z' }],
    });
    expect(ticksOf(found).map((tick) => tick.slice(11, 16))).toEqual([
      ...['12:10', '12:20', '12:30', '12:40', '12:50'],
    ]);
    expect(found.lines).toEqual([
      {
        level: 'warn',
        message: 'the last tick lies in the future: no tick until the clock is there',
        last: '2024-05-01T12:40:00.000Z',
      },
    ]);
  });

  it('continues from the time of the last tick when SCHEDULE has changed', async () => {
    const found = await run({
      expression: '15,45 * * * *',
      cursor: '2024-05-01T12:30:00.000Z',
      start: '2024-05-01T12:50:00.000Z',
      end: '2024-05-01T13:20:00.000Z',
    });
    expect(ticksOf(found).map((tick) => tick.slice(11, 16))).toEqual(['12:45', '13:15']);
  });

  it('generates a missed day of seconds in order, each once, in batches of a few hundred', async () => {
    const found = await run({
      expression: '* * * * * *',
      cursor: '2024-05-01T00:00:00.000Z',
      start: '2024-05-02T00:00:00.000Z',
      end: '2024-05-02T00:00:00.500Z',
    });
    const expected = Array.from({ length: 86_400 }, (_, index) =>
      isoOf(at('2024-05-01T00:00:01.000Z') + index * 1000),
    );
    expect(ticksOf(found)).toEqual(expected);
    expect(Math.max(...found.batches.map(({ messages }) => messages.length))).toBe(500);
    expect(found.lines).toHaveLength(1);
    for (const { messages, cursor } of found.batches) expect(messages.at(-1)!.scheduledFor).toBe(cursor);
  });

  it('computes only the requested ticks out of years of missed seconds', async () => {
    const found = await run({
      expression: '* * * * * *',
      cursor: '1970-01-01T00:00:00.000Z',
      start: '2024-05-02T00:00:00.000Z',
      max: 2,
    });
    expect(ticksOf(found)).toHaveLength(1000);
    expect(found.batches[1]!.cursor).toBe('1970-01-01T00:16:40.000Z');
  });

  it.each(['3', '{"number":3,"offset":20}', '"entry 5"', '"2024-05-01"', 'null', '[]'])(
    'refuses the cursor %s of another task',
    async (json) => {
      const cursor: unknown = JSON.parse(json);
      const found = run({ expression: '* * * * *', cursor: cursor as string, start: '2024-05-01T12:00Z' });
      await expect(found).rejects.toThrow(`the cursor ${json} is another task's`);
    },
  );

  it('ends at once when its signal aborts, however distant the next tick is', async () => {
    const number = await host.run<number>('open', { module: CRON, env: { SCHEDULE: '0 0 1 1 *' } });
    await expect(host.run('next', { number })).resolves.toMatchObject({ messages: [] });
    const next = host.run('next', { number });
    const abortedAt = performance.now();
    await host.run('abort', { number });
    await expect(next).resolves.toBeUndefined();
    expect(performance.now() - abortedAt).toBeLessThan(1000);
  });
});

describe('invalid settings', () => {
  const EXPECTED = 'expected a cron expression of 5 or 6 fields like "*/5 * * * *"';
  const refusal = (env: Record<string, string>) =>
    host.run('open', { module: CRON, env: { SCHEDULE: '', TZ: 'UTC', MISSED: '', ...env } }).then(
      () => undefined,
      (error: Error) => error.message,
    );

  it.each([
    ['', `SCHEDULE is not set, ${EXPECTED}`],
    [' ', `SCHEDULE is " ", ${EXPECTED}`],
    ['* * * *', `SCHEDULE is "* * * *", ${EXPECTED}`],
    ['* * * * * * *', `SCHEDULE is "* * * * * * *", ${EXPECTED}`],
    ['@daily', `SCHEDULE is "@daily", ${EXPECTED}`],
    [
      '60 * * * *',
      `SCHEDULE is "60 * * * *", ${EXPECTED} (Constraint error, got value 60 expected range 0-59)`,
    ],
    ['a b c d e', `SCHEDULE is "a b c d e", ${EXPECTED} (Invalid characters, got value: a)`],
    ['H 2 * * *', `SCHEDULE is "H 2 * * *", ${EXPECTED} (H would be another time on each instance)`],
    ['0 0 * * H', `SCHEDULE is "0 0 * * H", ${EXPECTED} (H would be another time on each instance)`],
    ['0 0 30 2 *', `SCHEDULE is "0 0 30 2 *", ${EXPECTED} (Invalid explicit day of month definition)`],
  ])('SCHEDULE=%j', async (SCHEDULE, message) => {
    expect(await refusal({ SCHEDULE })).toBe(message);
  });

  it.each([
    ...[
      '0 0 31 4,6 *',
      '*/0 * * * *',
      '5-1 * * * *',
      '1,,2 * * * *',
      '-1 * * * *',
      '1.5 * * * *',
      '5- * * * *',
    ],
    ...[
      '0 0 0 1 *',
      '0 24 * * *',
      '0 0 * 13 *',
      '0 0 * * 8',
      '0 0 * * foo',
      '0 0 * * L',
      '0 0 15W * *',
      '０ * * * *',
    ],
  ])('SCHEDULE=%j', async (SCHEDULE) => {
    expect(await refusal({ SCHEDULE })).toMatch(/^SCHEDULE is ".+", expected a cron expression .* \(.+\)$/);
  });

  it.each(['Mars/Olympus', ':Europe/Berlin', 'CET-1CEST', '/etc/localtime', ' '])('TZ=%j', async (TZ) => {
    expect(await refusal({ SCHEDULE: '* * * * *', TZ })).toBe(
      `TZ is "${TZ}", expected a time zone like Europe/Berlin or UTC`,
    );
  });

  it('refuses other values of MISSED, and reports all problems at once', async () => {
    expect(await refusal({ SCHEDULE: '* *', TZ: 'Nowhere', MISSED: 'later' })).toBe(
      `SCHEDULE is "* *", ${EXPECTED}; TZ is "Nowhere", expected a time zone like Europe/Berlin or UTC; MISSED is "later", expected makeup or skip`,
    );
  });

  it('accepts names in capitals and an empty TZ or MISSED', async () => {
    expect(await refusal({ SCHEDULE: '0 0 * MAR THU', TZ: '', MISSED: 'SKIP' })).toBeUndefined();
  });
});

const HOUR = 3_600_000;
const isoOf = (time: number) => new Date(time).toISOString();
const listOf = (values: number[]) => (values.length === 0 ? '*' : values.join(','));

/** Returns the local time of each minute from `from` on, written as if it were UTC. */
const shown = new Map<string, number[]>();
function shownIn(zone: string, from: number, minutes: number): number[] {
  const key = `${zone} ${from} ${minutes}`;
  const format = new Intl.DateTimeFormat('en-GB', {
    ...{
      timeZone: zone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
    },
    hourCycle: 'h23',
  });
  const found =
    shown.get(key) ??
    Array.from({ length: minutes }, (_, index) => {
      const text = format.format(from + index * 60_000);
      const [, day, month, year, h, m] = /(\d+)\/(\d+)\/(\d+), (\d+):(\d+)/.exec(text)!;
      return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(h), Number(m));
    });
  shown.set(key, found);
  return found;
}

/**
 * Finds the ticks of `hours` hours without time zone arithmetic, from the local time of each minute.
 * An empty set is a `*`.
 */
function everyMinute(
  zone: string,
  from: number,
  hours: number,
  minute: Set<number>,
  hour: Set<number>,
): number[] {
  const everyHour = hour.size === 0 || hour.size === 24;
  const matches = (time: number) => {
    const date = new Date(time);
    const hourMatches = everyHour || hour.has(date.getUTCHours());
    return hourMatches && (minute.size === 0 || minute.has(date.getUTCMinutes()));
  };
  const start = from - 25 * HOUR;
  const end = from + hours * HOUR;
  const ticks = new Set<number>();
  const seen = new Set<number>();
  shownIn(zone, start, (end - start) / 60_000 + 1).forEach((wall, index, walls) => {
    const time = start + index * 60_000;
    // Skipped minutes, placed where the clock would have shown them.
    const expected = (walls[index - 1] ?? wall - 60_000) + 60_000;
    for (let skipped = expected; skipped < wall; skipped += 60_000) {
      if (!everyHour && matches(skipped)) ticks.add(time + skipped - expected);
    }
    if (matches(wall) && (everyHour || !seen.has(wall))) ticks.add(time);
    seen.add(wall);
  });
  return [...ticks].filter((time) => time > from && time <= end).sort((a, b) => a - b);
}
