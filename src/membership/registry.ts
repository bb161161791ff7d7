import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import type { InstanceReport } from './member';
import { presentAmong } from './presence';

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

export interface HeartbeatOptions {
  readonly control: Redis;
  readonly keys: Pick<Keys, 'instances'>;
  readonly instance: string;
  readonly report: () => InstanceReport;
}

/** Keeps this instance's report up to date. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #sent = '';
  #sentAt = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves once the report is there. */
  async send(): Promise<void> {
    const { control, keys, instance, report } = this.#options;
    const text = JSON.stringify(report());
    await control.eval(REPORT_SCRIPT, 1, keys.instances, instance, text);
    this.#sent = text;
    this.#sentAt = performance.now();
  }

  /** Reports until the signal aborts. Rejects when Redis does not answer. */
  async run({ signal, progress }: Activity): Promise<void> {
    while (!signal.aborted) {
      const changed = JSON.stringify(this.#options.report()) !== this.#sent;
      if (changed || performance.now() - this.#sentAt >= IDLE_HEARTBEAT_MS) await this.send();
      progress();
      await sleep(BUSY_HEARTBEAT_MS, signal);
    }
  }

  /** @param remove whether the report goes as well; it stays where messages are still active, to be redelivered */
  async leave(remove: boolean): Promise<void> {
    const { control, keys, instance } = this.#options;
    if (remove) await control.hdel(keys.instances, instance);
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

/** Of the given instances, those that have reported and whose processes are gone. */
export async function filterDead(
  client: Redis,
  keys: Keys,
  instances: readonly string[],
): Promise<Set<string>> {
  if (instances.length === 0) return new Set();
  const [reports, present] = await Promise.all([
    client.hmget(keys.instances, ...instances),
    presentAmong(client, keys, instances),
  ]);
  return new Set(instances.filter((instance, index) => reports[index] !== null && !present.has(instance)));
}

/** Removes what instances that are long gone said of themselves. */
export async function pruneDead(client: Redis, keys: Keys): Promise<void> {
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
