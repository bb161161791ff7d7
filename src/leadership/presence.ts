/*
 * Presence: who is alive.
 *
 * Each instance subscribes to a channel of its own. When a process dies, the kernel closes its sockets at once, and the
 * channel is left without a subscriber: its end shows within a round trip, with no time-out to wait for. A machine
 * that vanishes closes nothing, and a process that is paused keeps its sockets: such an instance goes by the age of
 * its last heartbeat instead.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logger';
import { sleep } from '../time';

/** What an instance says of itself. */
export interface InstanceReport {
  readonly host: string;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Messages completed and finally failed by this instance. */
  readonly handled: number;
  readonly failed: number;
}

/** How often an instance reports when nothing has changed, and at most while it handles messages, in milliseconds. */
const IDLE_HEARTBEAT_MS = 5000;
const BUSY_HEARTBEAT_MS = 500;
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

export interface PresenceOptions {
  readonly control: Redis;
  readonly subscriber: Redis;
  readonly keys: Keys;
  readonly instance: string;
  readonly report: () => InstanceReport;
  /** Another leader has stepped down. */
  readonly onHandover: () => void;
  readonly logger: Logger;
}

export class Presence {
  readonly #options: PresenceOptions;
  readonly #stopping = new AbortController();
  #beating: Promise<void> | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** Resolves once the instance is seen to be alive. */
  async start(): Promise<void> {
    const { control, subscriber, keys, instance, logger } = this.#options;
    if (await subscribers(control, [keys.presence(instance)]).then(([count]) => count! > 0)) {
      logger.warn('another living instance has this name: INSTANCE_NAME must be unique');
    }
    subscriber.on('message', (channel, leaver) => {
      if (channel === keys.handover && leaver !== instance) this.#options.onHandover();
    });
    await subscriber.subscribe(keys.presence(instance), keys.handover);
    await this.#report();
    this.#beating = this.#beat();
  }

  /** Tells the others that this instance leads no more. */
  async announceHandover(): Promise<void> {
    await this.#options.control.publish(this.#options.keys.handover, this.#options.instance);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#beating;
    const { control, keys, instance } = this.#options;
    await control.hdel(keys.instances, instance);
  }

  async #beat(): Promise<void> {
    const { report, logger } = this.#options;
    const signal = this.#stopping.signal;
    let reported = '';
    let reportedAt = performance.now();
    while (!signal.aborted) {
      await sleep(BUSY_HEARTBEAT_MS, signal);
      if (signal.aborted) return;
      const text = JSON.stringify(report());
      if (text === reported && performance.now() - reportedAt < IDLE_HEARTBEAT_MS) continue;
      try {
        await this.#report();
        reported = text;
        reportedAt = performance.now();
      } catch (error) {
        logger.debug('no heartbeat', { error: toError(error) });
      }
    }
  }

  async #report(): Promise<void> {
    const { control, keys, instance, report } = this.#options;
    await control.eval(REPORT_SCRIPT, 1, keys.instances, instance, JSON.stringify(report()));
  }
}

/** The instances that are alive, the oldest first. */
export async function livingInstances(
  client: Redis,
  keys: Keys,
): Promise<({ instance: string } & InstanceReport)[]> {
  const { reports, now } = await readReports(client, keys);
  return reports
    .filter(({ seen, present }) => present && now - seen < SILENT_AFTER_MS)
    .map(({ seen: _seen, present: _present, ...report }) => report)
    .sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
}

/** Removes what instances that are long gone said of themselves. */
export async function forgetTheGone(client: Redis, keys: Keys): Promise<void> {
  const { reports, now } = await readReports(client, keys);
  const gone = reports.filter(({ seen, present }) => !present && now - seen > FORGOTTEN_AFTER_MS);
  if (gone.length > 0) await client.hdel(keys.instances, ...gone.map(({ instance }) => instance));
}

async function readReports(client: Redis, keys: Keys) {
  const [stored, [seconds, microseconds]] = await Promise.all([
    client.hgetall(keys.instances),
    client.time(),
  ]);
  const entries = Object.entries(stored);
  const counts = await subscribers(
    client,
    entries.map(([instance]) => keys.presence(instance)),
  );
  const reports = entries.map(([instance, json], index) => ({
    instance,
    ...(JSON.parse(json) as InstanceReport & { seen: number }),
    present: counts[index]! > 0,
  }));
  return { reports, now: Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) };
}

/** How many subscribers each channel has. */
async function subscribers(client: Redis, channels: string[]): Promise<number[]> {
  if (channels.length === 0) return [];
  const reply = (await client.pubsub('NUMSUB', ...channels)) as (string | number)[];
  return channels.map((_, index) => Number(reply[index * 2 + 1]));
}
