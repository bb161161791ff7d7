// A cron that survives its machines: each tick of SCHEDULE becomes a message { scheduledFor }, once.
//
//   SCHEDULE='*/5 * * * *' TZ=Europe/Berlin TASK=examples/cron.mjs npm start
//
// SCHEDULE has 5 fields (minute, hour, day, month, weekday) or 6 (second first) and is read in the time zone TZ.
// It needs the package cron-parser: npm install cron-parser (npm run setup has installed it in a checkout).
// Ticks that were missed without a leader are generated later; MISSED=skip drops them. The cursor is the time of the last
// tick, so another generator resumes right after it. What happens when clocks change: see createSchedule.
import { env } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';

// The program itself does not need this package, so it is not installed with it.
const { CronExpressionParser } = await import('cron-parser').catch((cause) => {
  const remedy = 'run "npm install cron-parser" where the task runs';
  throw new Error(`the cron example needs the package cron-parser, which is not installed: ${remedy}`, {
    cause,
  });
});

const TICKS_PER_BATCH = 500;
/** Maximum sleep: the clock can be set or the machine suspended at any time, and timers cannot last a month. */
const MAX_SLEEP_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const { schedule, missed } = readSettings();
const systemClock = {
  now: Date.now,
  sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
};

export function generate(context) {
  return generateTicks({ ...context, schedule, missed, clock: systemClock });
}

export function handle({ scheduledFor }, { logger }) {
  logger.info('tick', { scheduledFor, lateMs: Date.now() - Date.parse(scheduledFor) });
}

/** What `generate` does, with a clock that a test can set. */
export async function* generateTicks({ cursor, signal, logger, schedule, missed, clock }) {
  let last = cursor === undefined ? clock.now() : timeOf(cursor);
  // The start is committed; otherwise a tick between a first start and a crash right after it would be lost.
  if (cursor === undefined) yield { messages: [], cursor: iso(last) };
  let next = schedule.next(last);
  let wasAway = true;
  while (!signal.aborted) {
    const now = clock.now();
    if (wasAway && next <= now && missed === 'skip') {
      logger.warn('ticks were missed and are left out', { since: iso(last) });
      last = now;
      next = schedule.next(last);
      yield { messages: [], cursor: iso(last) };
    } else if (wasAway && next <= now) {
      logger.info('making up for ticks that were missed', { since: iso(last) });
    } else if (wasAway && last > now + MAX_SLEEP_MS) {
      logger.warn('the last tick lies in the future: no tick until the clock is there', { last: iso(last) });
    }

    const messages = [];
    for (; next <= now && messages.length < TICKS_PER_BATCH; next = schedule.next(last)) {
      messages.push({ scheduledFor: iso(next) });
      last = next;
    }
    if (messages.length > 0) {
      yield { messages, cursor: iso(last) };
      wasAway = false;
    } else {
      const wait = Math.min(next - now, MAX_SLEEP_MS);
      await clock.sleep(wait, signal);
      // The machine slept, or its clock was set.
      wasAway = Math.abs(clock.now() - now - wait) > MAX_SLEEP_MS;
    }
  }
}

/**
 * The ticks of a cron expression in a time zone. cron-parser runs on UTC, a clock that never changes; this function
 * translates its times to a zone whose clocks do change. With `*` for the hour, a tick is whenever
 * the clock on the wall shows a matching time: never in a skipped hour, and twice in a repeated one. With other hours,
 * each time is a tick once: in a repeated hour when it comes first; in a skipped hour as if the clock had not been put
 * forward yet, so that 02:30 is when the clock on the wall shows 03:30.
 */
export function createSchedule(expression, zone) {
  const wall = CronExpressionParser.parse(expression, { tz: 'UTC' });
  const everyHour = new Set(wall.fields.hour.values).size === 24;
  const offsetAt = offsetsOf(zone);

  /** Whether a clock at this offset from UTC is the one to go by at that time. */
  function counts(offset, time) {
    const now = offsetAt(time);
    const before = offsetAt(time - DAY_MS);
    const change = Math.abs(now - before);
    if (everyHour || change === 0 || offsetAt(time - change) === now) return offset === now;
    // The change was less than its own size ago: set forward, the old clock continues; set back, the times are repeats.
    return now > before && (offset === now || offset === before);
  }

  /** The first time after `from` on a clock at this offset; up to `to` only if it counts, beyond it unchecked. */
  function first(offset, from, to) {
    wall.reset(new Date(from + offset));
    for (;;) {
      const time = wall.next().getTime() - offset;
      if (time > to || counts(offset, time)) return time;
    }
  }

  return {
    /** The first tick after a time; both in milliseconds since 1970. */
    next(after) {
      for (let from = after; ;) {
        const to = from + HOUR_MS;
        let time = Infinity;
        // Start with the current clock: its next time limits how far the others must be searched.
        for (const offset of new Set([from, from - DAY_MS, to].map(offsetAt))) {
          time = Math.min(time, first(offset, from, Math.min(time, to)));
        }
        if (time <= to) return time;
        // No clock has an earlier tick, whatever its offset changes are.
        from = Math.max(to, time - 2 * DAY_MS);
      }
    },
  };
}

/** How far a zone's clocks are ahead of UTC at a time, in milliseconds. */
function offsetsOf(zone) {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
  const pattern = /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/;
  return (time) => {
    const [, sign, hours, minutes, seconds = 0] = pattern.exec(format.format(time)) ?? [];
    if (sign === undefined) return 0;
    return (sign === '-' ? -1 : 1) * (hours * 3600 + minutes * 60 + Number(seconds)) * 1000;
  };
}

/** The settings in the environment, or an error that names everything that is wrong with them. */
function readSettings() {
  const { SCHEDULE, TZ, MISSED } = env;
  // An empty TZ counts as not set here, and as UTC to Node.js, which then has no name for it.
  const zone = TZ || (TZ === '' ? 'UTC' : new Intl.DateTimeFormat().resolvedOptions().timeZone);
  const missed = MISSED ? MISSED.toLowerCase() : 'makeup';
  const problems = [];
  const reason = problemWith(SCHEDULE);
  if (reason !== undefined) {
    const found = SCHEDULE ? JSON.stringify(SCHEDULE.slice(0, 100)) : 'not set';
    problems.push(
      `SCHEDULE is ${found}, expected a cron expression of 5 or 6 fields like "*/5 * * * *"${reason}`,
    );
  }
  if (!isZone(zone)) {
    problems.push(`TZ is ${JSON.stringify(zone)}, expected a time zone like Europe/Berlin or UTC`);
  }
  if (missed !== 'makeup' && missed !== 'skip') {
    problems.push(`MISSED is ${JSON.stringify(MISSED)}, expected makeup or skip`);
  }
  if (problems.length > 0) throw new Error(problems.join('; '));
  return { schedule: createSchedule(SCHEDULE, zone), missed };
}

/** What is wrong with a cron expression; undefined if it has a tick. cron-parser itself also takes fewer fields. */
function problemWith(expression = '') {
  const count = expression.trim().split(/\s+/).length;
  if (count < 5 || count > 6) return '';
  // The rest, apart from names such as thu.
  if (expression.replace(/[a-z]{3}/gi, '').includes('H'))
    return ' (H would be another time on each instance)';
  try {
    createSchedule(expression, 'UTC').next(Date.now());
  } catch (error) {
    return ` (${error.message})`;
  }
}

function isZone(name) {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).format(0) !== '';
  } catch {
    return false;
  }
}

function timeOf(cursor) {
  const time = typeof cursor === 'string' ? Date.parse(cursor) : NaN;
  if (!Number.isNaN(time) && iso(time) === cursor) return time;
  throw new Error(
    `the cursor ${JSON.stringify(cursor)} is another task's, expected the time of a tick: give this one a NAMESPACE`,
  );
}

function iso(time) {
  return new Date(time).toISOString();
}
