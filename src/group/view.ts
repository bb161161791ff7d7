import { GroupErrors, type GroupErrorsOptions } from './errors';
import { knownInstances, type KnownInstance } from '../membership/registry';
import { leaderRecordOf, termEntriesOf } from '../leadership/term';
import { HISTORY_STEP_MS, samplesOf } from './samples';
import type { LiveGroup, LiveInstance, LiveLeader, LiveState, LiveTerm } from '../web/liveGroup';

export interface GroupStateOptions extends GroupErrorsOptions {
  /** The secret of whoever holds the generator's lease; undefined if nobody does. */
  readonly lease: { holder(): Promise<string | undefined> };
}

/** Terms shown. */
const TERMS = 20;
/** Over how long a rate is taken, and the least, in milliseconds. */
const RATE_MS = { most: 10_000, least: 900 };

/** The state of the whole group, as the live view of any one instance shows it. */
export class GroupState implements LiveGroup {
  readonly #options: GroupStateOptions;
  readonly #errors: GroupErrors;
  readonly #rates = new Map<string, { at: number; done: number }[]>();

  constructor(options: GroupStateOptions) {
    this.#options = options;
    this.#errors = new GroupErrors(options);
  }

  retry: LiveGroup['retry'] = (which) => this.#errors.retry(which);
  clear: LiveGroup['clear'] = (which) => this.#errors.clear(which);

  async read(): Promise<LiveState> {
    const { client, keys, lease } = this.#options;
    const [{ now, instances }, held, replies, errors] = await Promise.all([
      knownInstances(client, keys),
      // Without a majority of its nodes nobody holds it.
      lease.holder().catch(() => undefined),
      client
        .pipeline()
        .hgetall(keys.leader)
        .hgetall(keys.ended)
        .lrange(keys.terms, 0, TERMS - 1)
        .lrange(keys.history, 0, -1)
        .hget(keys.cursor, 'generated')
        .llen(keys.waiting)
        .llen(keys.active)
        .zcard(keys.delayed)
        .zcard(keys.failed)
        .hget(keys.completedCount, 'count')
        .hget(keys.failedCount, 'count')
        .hexists(keys.meta, 'paused')
        .exec(),
      this.#errors.read(),
    ]);
    const values = (replies ?? []).map(([error, value]) => {
      if (error) throw error;
      return value;
    });
    const [record, ended, termList, samples] = values as [Fields, Fields, string[], string[]];
    const count = (index: number) => Number(values[index] ?? 0) || 0;
    const terms = termEntriesOf(termList);
    const names = new Set(instances.map(({ instance }) => instance));
    for (const name of this.#rates.keys()) if (!names.has(name)) this.#rates.delete(name);
    return {
      now,
      leader: leaderOf(held !== undefined, record, ended, terms, instances),
      instances: instances.map((known) => this.#instanceOf(known)),
      messages: {
        generated: count(4),
        waiting: count(5),
        active: count(6),
        delayed: count(7),
        failed: count(8),
        completed: count(9),
        everFailed: count(10),
        paused: count(11) === 1,
      },
      errors,
      terms,
      history: { stepMs: HISTORY_STEP_MS, samples: samplesOf(samples).filter(([at]) => at <= now) },
    };
  }

  /** Anybody can write into Redis: nothing is taken for what it should be. */
  #instanceOf({ present, silent, seen, ...report }: KnownInstance): LiveInstance {
    const { instance, startedAt, board } = report;
    const [pid, handled, failed] = [report.pid, report.handled, report.failed].map(
      (figure) => Number(figure) || 0,
    );
    const state = !present ? 'gone' : silent ? 'silent' : 'alive';
    const reachable = typeof board?.host === 'string' && typeof board.port === 'number';
    return {
      ...{ instance, host: String(report.host), pid: pid!, handled: handled!, failed: failed!, state },
      startedAt: Date.parse(startedAt) || 0,
      rate: state === 'gone' ? null : this.#rateOf(instance, handled! + failed!),
      ...(state !== 'alive' && { heardAt: seen }),
      ...(reachable && { board: { host: board.host, port: board.port } }),
    };
  }

  /** Messages a second, from what this process itself has seen. */
  #rateOf(instance: string, done: number): number | null {
    const at = performance.now();
    const seen = (this.#rates.get(instance) ?? []).filter((look) => at - look.at <= RATE_MS.most);
    this.#rates.set(instance, [...seen, { at, done }]);
    const first = seen[0];
    if (first === undefined || at - first.at < RATE_MS.least) return null;
    const rate = Math.max(0, done - first.done) / ((at - first.at) / 1000);
    return Math.round(rate * 10) / 10;
  }
}

type Fields = Record<string, string | undefined>;

function leaderOf(
  held: boolean,
  fields: Fields,
  ended: Fields,
  terms: readonly LiveTerm[],
  instances: readonly KnownInstance[],
): LiveLeader {
  const record = leaderRecordOf(fields);
  if (record === undefined) return {};
  if (!held) return ended['term'] === String(record.term) ? { vacantSince: Number(ended['at']) } : {};
  const { instance, term } = record;
  const entry = terms.find((each) => each.term === term && each.instance === instance);
  const present = instances.some((each) => each.instance === instance && each.present);
  return { instance, term, since: entry?.since ?? Date.parse(record.since), present };
}
