/*
 * Decides which instances are dead, so that their messages are redelivered long before the locks of the messages
 * expire.
 *
 * If a living instance is declared dead, its messages are handled twice, so one sign is not enough. A process that
 * blocks its event loop cannot resubscribe or report until it is done, and a subscription can be lost on its own. An
 * instance is dead if
 *
 * - it has been seen since this control connection was opened: nothing is known about an instance that has not yet
 *   returned after a restart or a failover of Redis;
 * - its presence channel has had no subscriber for two seconds without interruption;
 * - it has not reported since;
 * - Redis has no connection with its name. The kernel closes the connections of a dead process, and keeps those of a
 *   blocked one. This is checked last, because the reply is long. If the user lacks the permission, the other three
 *   decide.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import { presentAmong } from './presence';

export interface DeadInstancesOptions {
  /** A connection of the role `control`, opened when the instance started. */
  readonly client: Redis;
  readonly keys: Pick<Keys, 'instances' | 'presence' | 'connectionName'>;
  /** How long an instance must have been missing, in milliseconds. Default 2000. */
  readonly missingMs?: number;
}

/** If the pause between two checks was longer, it is unknown whether an instance was missing without interruption. */
const MAX_PAUSE_MS = 1000;

interface Missing {
  readonly since: number;
  /** The last report that it had sent by then. */
  readonly report: string | null;
}

/** What existed when this control connection was opened. */
interface Baseline {
  readonly present: ReadonlySet<string>;
  readonly reports: Readonly<Record<string, string>>;
}

export class DeadInstances {
  readonly #client: Redis;
  readonly #keys: DeadInstancesOptions['keys'];
  readonly #missingMs: number;
  #baseline: Promise<Baseline> | undefined;
  /** Seen since the baseline was read. */
  readonly #seen = new Set<string>();
  #missing = new Map<string, Missing>();
  #checkedAt = -Infinity;

  constructor({ client, keys, missingMs = 2000 }: DeadInstancesOptions) {
    this.#missingMs = missingMs;
    this.#client = client;
    this.#keys = keys;
    client.on('close', () => this.#forget());
    client.on('ready', () => void this.#readBaseline().catch(() => undefined));
    if (client.status === 'ready') void this.#readBaseline().catch(() => undefined);
  }

  /**
   * Returns the dead ones among the instances. The caller acts on the result and calls it several times a second.
   *
   * @throws if Redis does not answer
   */
  async filterDead(instances: readonly string[]): Promise<Set<string>> {
    if (performance.now() - this.#checkedAt > MAX_PAUSE_MS) this.#missing.clear();
    this.#checkedAt = performance.now();
    if (instances.length === 0) {
      this.#missing.clear();
      return new Set();
    }
    const reading = this.#readBaseline();
    const [baseline, reports, present] = await Promise.all([
      reading,
      this.#client.hmget(this.#keys.instances, ...instances),
      presentAmong(this.#client, this.#keys, instances),
    ]);
    // The connection was closed in the meantime.
    if (this.#baseline !== reading) return new Set();
    const suspects = this.#findSuspects(instances, { baseline, reports, present });
    if (suspects.length === 0) return new Set();
    const connected = await this.#connectionNames();
    const dead = suspects.filter((instance) => !connected.has(this.#keys.connectionName(instance)));
    // The others are checked again after they have been missing for the same time again.
    for (const instance of suspects) if (!dead.includes(instance)) this.#missing.delete(instance);
    return this.#baseline === reading ? new Set(dead) : new Set();
  }

  #findSuspects(
    instances: readonly string[],
    now: { baseline: Baseline; reports: (string | null)[]; present: ReadonlySet<string> },
  ): string[] {
    const { baseline, reports, present } = now;
    const missing = new Map<string, Missing>();
    const suspects: string[] = [];
    for (const [index, instance] of instances.entries()) {
      const report = reports[index] ?? null;
      const hasReported = report !== null && report !== baseline.reports[instance];
      if (present.has(instance) || baseline.present.has(instance) || hasReported) this.#seen.add(instance);
      if (present.has(instance)) continue;
      const before = this.#missing.get(instance);
      const entry = before?.report === report ? before : { since: performance.now(), report };
      missing.set(instance, entry);
      if (this.#seen.has(instance) && performance.now() - entry.since >= this.#missingMs)
        suspects.push(instance);
    }
    this.#missing = missing;
    return suspects;
  }

  /** Names of all connections to Redis; empty if this user may not list them. */
  async #connectionNames(): Promise<Set<string>> {
    try {
      const list = (await this.#client.client('LIST')) as string;
      return new Set(Array.from(list.matchAll(/ name=(\S*)/g), ([, name]) => name!));
    } catch (error) {
      if (toError(error).message.startsWith('NOPERM')) return new Set();
      throw error;
    }
  }

  #readBaseline(): Promise<Baseline> {
    if (this.#baseline !== undefined) return this.#baseline;
    const reading = (async () => {
      const reports = await this.#client.hgetall(this.#keys.instances);
      return { reports, present: await presentAmong(this.#client, this.#keys, Object.keys(reports)) };
    })();
    this.#baseline = reading;
    reading.catch(() => {
      if (this.#baseline === reading) this.#baseline = undefined;
    });
    return reading;
  }

  #forget(): void {
    this.#baseline = undefined;
    this.#seen.clear();
    this.#missing.clear();
  }
}
