/*
 * Decides which instances are dead, so that their messages are redelivered long before the locks of the messages
 * expire.
 *
 * If a living instance is declared dead, its messages are handled twice, so one sign is not enough. A process that
 * blocks its event loop cannot resubscribe or report until it is done, and a subscription can be lost on its own. An
 * instance is dead if
 *
 * - it has been seen since this control connection was opened: nothing is known about an instance that has not yet
 *   returned after a restart or a failover of Redis. Not seen is enough in two cases: a connection of the group is older
 *   than the last report of the missing instance, so Redis has not restarted since; or all connections of the missing
 *   instance were gone already before this control connection was lost;
 * - its presence channel has had no subscriber for two seconds without interruption;
 * - it has not reported since;
 * - Redis has no connection with its name. The kernel closes the connections of a dead process, and keeps those of a
 *   blocked one. This is checked last, because the reply is long. If the user lacks the permission, the other three
 *   decide.
 */
import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Keys } from '../keys';
import { parseReport } from './member';
import { presentAmong } from './presence';

export interface DeadInstancesOptions {
  /** A connection of the role `control`, opened when the instance started. */
  readonly client: Redis;
  readonly keys: Pick<Keys, 'instances' | 'presence' | 'connectionName'>;
  /** How long an instance must have been missing, in milliseconds. Default 2000. */
  readonly missingMs?: number;
  /**
   * By how much a connection must be older than a report to show that Redis has not restarted since, in milliseconds: after
   * a failover the report has the time of another server. Default 10,000.
   */
  readonly witnessMarginMs?: number;
}

/** If the pause between two checks was longer, it is unknown whether an instance was missing without interruption. */
const MAX_PAUSE_MS = 1000;

interface Missing {
  readonly since: number;
  /** The last report that it had sent by then. */
  readonly report: string | null;
  /** Whether its connections have been looked for. */
  isChecked: boolean;
}

/** What existed when a control connection was opened. */
interface Baseline {
  readonly present: ReadonlySet<string>;
  readonly reports: Readonly<Record<string, string>>;
}

export class DeadInstances {
  readonly #client: Redis;
  readonly #keys: DeadInstancesOptions['keys'];
  readonly #missingMs: number;
  readonly #witnessMarginMs: number;
  #baseline: Promise<Baseline> | undefined;
  /** Seen since the baseline was read. */
  #seen = new Set<string>();
  #missing = new Map<string, Missing>();
  /** Missing, and without connections when they were last looked for, whichever control connection was open then. */
  readonly #gone = new Set<string>();
  #checkedAt = -Infinity;

  constructor({ client, keys, missingMs = 2000, witnessMarginMs = 10_000 }: DeadInstancesOptions) {
    this.#missingMs = missingMs;
    this.#witnessMarginMs = witnessMarginMs;
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
    for (const instance of this.#gone) if (!instances.includes(instance)) this.#gone.delete(instance);
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
    this.#findMissing(instances, { baseline, reports, present });
    const isSuspect = (instance: string) =>
      performance.now() - this.#missing.get(instance)!.since >= this.#missingMs;
    const missing = [...this.#missing.keys()];
    if (!missing.some((instance) => isSuspect(instance) || !this.#missing.get(instance)!.isChecked))
      return new Set();
    const connections = await this.#connections();
    if (this.#baseline !== reading) return new Set();
    const dead = new Set<string>();
    for (const instance of missing) {
      this.#missing.get(instance)!.isChecked = true;
      const isConnected = connections.has(this.#keys.connectionName(instance));
      const isEnough =
        this.#seen.has(instance) || this.#gone.has(instance) || this.#hasWitness(instance, connections);
      // Without the right to list connections, only the time shows that an instance is gone.
      const isShown = connections.size > 0 || isSuspect(instance);
      if (!isConnected && isEnough && isShown) this.#gone.add(instance);
      else this.#gone.delete(instance);
      if (!isSuspect(instance)) continue;
      if (this.#gone.has(instance)) dead.add(instance);
      // It is checked again after it has been missing for the same time again.
      else this.#missing.delete(instance);
    }
    return dead;
  }

  #findMissing(
    instances: readonly string[],
    now: { baseline: Baseline; reports: (string | null)[]; present: ReadonlySet<string> },
  ): void {
    const { baseline, reports, present } = now;
    const missing = new Map<string, Missing>();
    for (const [index, instance] of instances.entries()) {
      const report = reports[index] ?? null;
      if (present.has(instance) || wasSeen(instance, report, baseline)) this.#seen.add(instance);
      if (present.has(instance)) {
        this.#gone.delete(instance);
        continue;
      }
      const before = this.#missing.get(instance);
      const isSame = before?.report === report;
      if (before !== undefined && !isSame) this.#gone.delete(instance);
      missing.set(instance, isSame ? before : { since: performance.now(), report, isChecked: false });
    }
    this.#missing = missing;
  }

  /**
   * Maps the names of all connections to when the oldest was opened, in milliseconds since 1970 on the clock of Redis; empty
   * if listing is not allowed.
   */
  async #connections(): Promise<Map<string, number>> {
    const opened = new Map<string, number>();
    try {
      const [[now], list] = await Promise.all([
        this.#client.time(),
        this.#client.client('LIST') as Promise<string>,
      ]);
      for (const [, name, age] of list.matchAll(/ name=(\S*) age=(\d+)/g))
        opened.set(name!, Math.min(opened.get(name!) ?? Infinity, (Number(now) - Number(age)) * 1000));
    } catch (error) {
      if (!toError(error).message.startsWith('NOPERM')) throw error;
    }
    return opened;
  }

  /** Whether a connection of the group is older than the last report of the instance. */
  #hasWitness(instance: string, connections: ReadonlyMap<string, number>): boolean {
    const report = parseReport(this.#missing.get(instance)!.report ?? '');
    if (report === undefined) return false;
    const ofGroup = this.#keys.connectionName('');
    return [...connections].some(
      ([name, openedAt]) => name.startsWith(ofGroup) && openedAt <= report.seen - this.#witnessMarginMs,
    );
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
    this.#seen = new Set();
    this.#missing.clear();
  }
}

/** Whether the instance was there when the baseline was read, or has reported since. */
function wasSeen(instance: string, report: string | null, { present, reports }: Baseline): boolean {
  return present.has(instance) || (report !== null && report !== reports[instance]);
}
