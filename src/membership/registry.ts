import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logger';
import { sleep } from '../time';
import { presentAmong } from './presence';

/** What an instance says of itself. */
export interface InstanceReport {
  readonly host: string;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Messages that this instance has completed, and that finally failed on it. */
  readonly handled: number;
  readonly failed: number;
  /** Where its board listens, if it has one. */
  readonly board?: { readonly host: string; readonly port: number };
}

/** How often an instance reports when nothing has changed, and at most while it handles messages, in milliseconds. */
const IDLE_HEARTBEAT_MS = 5000;
const BUSY_HEARTBEAT_MS = 500;
/**
 * Age of a report after which an instance with active messages reports again, though nothing has changed: those who
 * decide whether it is dead go by it (deadInstances.ts). So it reports every second.
 */
const MAX_ACTIVE_AGE_MS = 900;
/** Age in milliseconds from which a report counts for nothing: three heartbeats. */
const SILENT_AFTER_MS = 3 * IDLE_HEARTBEAT_MS;
/** Age in milliseconds from which the report of an instance that is gone is removed. */
const FORGOTTEN_AFTER_MS = 60_000;

/** Stamped with Redis's own clock, so that clocks of different machines do not matter. */
const REPORT_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], '{"seen":' .. string.format('%d', now) .. ',' .. string.sub(ARGV[2], 2))
`;

export interface HeartbeatOptions {
  readonly control: Redis;
  readonly keys: Pick<Keys, 'instances'>;
  readonly instance: string;
  readonly report: () => InstanceReport;
  /** Whether it has active messages. */
  readonly isActive: () => boolean;
  readonly logger: Logger;
}

/** Keeps this instance's report up to date until it is stopped. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #stopping = new AbortController();
  #beating: Promise<void> | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves once the first report is there. */
  async start(): Promise<void> {
    const first = JSON.stringify(this.#options.report());
    await this.#send(first);
    this.#beating = this.#beat(first);
  }

  /** @param leave whether the report goes as well; it stays where messages are still in hand, to be redelivered */
  async stop(leave: boolean): Promise<void> {
    this.#stopping.abort();
    await this.#beating;
    const { control, keys, instance } = this.#options;
    if (leave) await control.hdel(keys.instances, instance);
  }

  async #beat(first: string): Promise<void> {
    const { report, isActive, logger } = this.#options;
    const signal = this.#stopping.signal;
    let sent = first;
    let sentAt = performance.now();
    while (!signal.aborted) {
      await sleep(BUSY_HEARTBEAT_MS, signal);
      const text = JSON.stringify(report());
      const maxAgeMs = isActive() ? MAX_ACTIVE_AGE_MS : IDLE_HEARTBEAT_MS;
      if (signal.aborted || (text === sent && performance.now() - sentAt < maxAgeMs)) continue;
      try {
        await this.#send(text);
        sent = text;
        sentAt = performance.now();
      } catch (error) {
        logger.debug('no heartbeat', { error: toError(error) });
      }
    }
  }

  async #send(report: string): Promise<void> {
    const { control, keys, instance } = this.#options;
    await control.eval(REPORT_SCRIPT, 1, keys.instances, instance, report);
  }
}

/** The instances that are alive, the oldest first. */
export async function livingInstances(
  client: Redis,
  keys: Keys,
): Promise<({ instance: string } & InstanceReport)[]> {
  const { reports, present, now } = await readReports(client, keys);
  return reports
    .filter(({ instance, seen }) => present.has(instance) && now - seen < SILENT_AFTER_MS)
    .map(({ seen: _seen, ...report }) => report)
    .sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
}

/** What is known of one instance, alive or not. */
export interface KnownInstance extends InstanceReport {
  readonly instance: string;
  /** Whether its process is connected. */
  readonly present: boolean;
  /** When it last reported, in milliseconds since 1970 on Redis's clock. */
  readonly seen: number;
  /** It should have reported since, and has not. */
  readonly silent: boolean;
}

/** Every instance that is not forgotten yet, the oldest first, and the time on Redis's clock. */
export async function knownInstances(
  client: Redis,
  keys: Keys,
): Promise<{ now: number; instances: KnownInstance[] }> {
  const { reports, present, now } = await readReports(client, keys);
  const instances = reports
    .filter(({ seen, startedAt }) => typeof seen === 'number' && typeof startedAt === 'string')
    .map((report) => {
      const silent = now - report.seen > IDLE_HEARTBEAT_MS + 2 * BUSY_HEARTBEAT_MS;
      return { ...report, present: present.has(report.instance), silent };
    })
    .sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
  return { now, instances };
}

/** Removes what instances that are long gone said of themselves. */
export async function forgetTheGone(client: Redis, keys: Keys): Promise<void> {
  const { reports, present, now } = await readReports(client, keys);
  const gone = reports.filter(
    ({ instance, seen }) => !present.has(instance) && now - seen > FORGOTTEN_AFTER_MS,
  );
  if (gone.length > 0) await client.hdel(keys.instances, ...gone.map(({ instance }) => instance));
}

async function readReports(client: Redis, keys: Keys) {
  const [stored, [seconds, microseconds]] = await Promise.all([
    client.hgetall(keys.instances),
    client.time(),
  ]);
  const reports = Object.entries(stored).flatMap(([instance, json]) => {
    try {
      return [{ instance, ...(JSON.parse(json) as InstanceReport & { readonly seen: number }) }];
    } catch {
      // Not written by an instance: nothing to go by.
      return [];
    }
  });
  const present = await presentAmong(client, keys, Object.keys(stored));
  return { reports, present, now: Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) };
}
