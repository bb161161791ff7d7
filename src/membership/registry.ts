import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import { loadScript } from '../redis/scripts';
import { type InstanceReport, parseReport, type StoredReport } from './member';
import { presentAmong } from './presence';

/** How often an instance reports when nothing has changed, and at most while it handles messages, in milliseconds. */
const IDLE_HEARTBEAT_MS = 5000;
const BUSY_HEARTBEAT_MS = 500;
/**
 * Age of a report after which an instance with active messages reports again even if nothing has changed, because the
 * decision whether it is dead depends on it (deadInstances.ts). In effect it reports every second.
 */
const MAX_ACTIVE_AGE_MS = 900;
/** Age in milliseconds from which a connected instance counts as silent: two heartbeats. */
const SILENT_AFTER_MS = 2 * IDLE_HEARTBEAT_MS;
/** Age in milliseconds from which the report of a dead instance is removed. */
const PRUNED_AFTER_MS = 60_000;

const REPORT = loadScript(__dirname, 'report');

export interface HeartbeatOptions {
  readonly control: Redis;
  readonly keys: Pick<Keys, 'instances'>;
  readonly instance: string;
  readonly report: () => InstanceReport;
  /** Whether it has active messages. */
  readonly isActive: () => boolean;
}

/** Keeps this instance's report up to date. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #sent = '';
  #sentAt = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves once the report is stored. */
  async send(): Promise<void> {
    const { control, keys, instance, report } = this.#options;
    const text = JSON.stringify(report());
    await control.eval(REPORT, 1, keys.instances, instance, text);
    this.#sent = text;
    this.#sentAt = performance.now();
  }

  /** Reports until the signal aborts. Rejects when Redis does not answer. */
  async run({ signal, progress }: Activity): Promise<void> {
    while (!signal.aborted) {
      const { report, isActive } = this.#options;
      const maxAgeMs = isActive() ? MAX_ACTIVE_AGE_MS : IDLE_HEARTBEAT_MS;
      const isDue = performance.now() - this.#sentAt >= maxAgeMs;
      if (isDue || JSON.stringify(report()) !== this.#sent) await this.send();
      progress();
      await sleep(BUSY_HEARTBEAT_MS, signal);
    }
  }

  /**
   * @param remove whether to remove the report too; it stays while messages are still active, so that they are
   * redelivered
   */
  async leave(remove: boolean): Promise<void> {
    const { control, keys, instance } = this.#options;
    if (remove) await control.hdel(keys.instances, instance);
  }
}

/** What is known about an instance, alive or not. */
export interface KnownInstance extends StoredReport {
  readonly instance: string;
  /** `silent`: connected, but has not reported for ten seconds. `dead`: not connected. */
  readonly state: 'alive' | 'silent' | 'dead';
}

/** Returns every instance whose report still exists, oldest first, and the time on Redis's clock. */
export async function knownInstances(
  client: Redis,
  keys: Pick<Keys, 'instances' | 'presence'>,
): Promise<{ now: number; instances: KnownInstance[] }> {
  const [stored, [seconds, microseconds]] = await Promise.all([
    client.hgetall(keys.instances),
    client.time(),
  ]);
  const now = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
  const present = await presentAmong(client, keys, Object.keys(stored));
  const instances = Object.entries(stored).flatMap(([instance, json]): KnownInstance[] => {
    const report = parseReport(json);
    if (report === undefined) return [];
    const silent = now - report.seen > SILENT_AFTER_MS;
    return [{ ...report, instance, state: !present.has(instance) ? 'dead' : silent ? 'silent' : 'alive' }];
  });
  return { now, instances: instances.sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1)) };
}

/** Returns the living instances, oldest first. */
export async function livingInstances(
  client: Redis,
  keys: Pick<Keys, 'instances' | 'presence'>,
): Promise<KnownInstance[]> {
  const { instances } = await knownInstances(client, keys);
  return instances.filter(({ state }) => state === 'alive');
}

/** Removes the old reports of dead instances. */
export async function pruneDead(client: Redis, keys: Pick<Keys, 'instances' | 'presence'>): Promise<void> {
  const { instances, now } = await knownInstances(client, keys);
  const dead = instances.filter(({ state, seen }) => state === 'dead' && now - seen > PRUNED_AFTER_MS);
  if (dead.length > 0) await client.hdel(keys.instances, ...dead.map(({ instance }) => instance));
}
