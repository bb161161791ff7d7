import type { Queue } from 'bullmq';
import { parseTerms } from '../leadership/term';
import type { KnownInstance } from '../membership/registry';
import type { LiveGroup, LiveInstance, LiveLeader, LiveSource, LiveState, LiveTerm } from './live';
import { GroupErrors, type GroupErrorsOptions } from './errors';
import { failuresOf } from './failures';
import { type GroupSource, type GroupState, readGroup, type SourceState } from './read';
import { parseSamples, SAMPLE_INTERVAL_MS } from './samples';

export interface LiveViewOptions extends GroupErrorsOptions, GroupSource {
  readonly queue: Queue;
}

/** Number of terms shown, and of sources whose terms are read. */
const MAX_TERMS = 20;
const MAX_TERM_SOURCES = 64;
/** Maximum length of a displayed cursor, in characters of JSON. */
const MAX_CURSOR = 200;
/** Longest and shortest period over which a rate is computed, in milliseconds. */
const RATE_MS = { max: 10_000, min: 900 };

/** The state of the whole group, as the live view of any one instance shows it. */
export class LiveView implements LiveGroup {
  readonly #options: LiveViewOptions;
  readonly #errors: GroupErrors;
  readonly #rates = new Map<string, { at: number; done: number }[]>();

  constructor(options: LiveViewOptions) {
    this.#options = options;
    this.#errors = new GroupErrors(options);
  }

  retry: LiveGroup['retry'] = (which) => this.#errors.retry(which);
  clear: LiveGroup['clear'] = (which) => this.#errors.clear(which);
  details: LiveGroup['details'] = (id) => this.#errors.details(id);

  async read(): Promise<LiveState> {
    const { client, keys } = this.#options;
    const [group, ended, samples, errors] = await Promise.all([
      readGroup(this.#options),
      client.hgetall(keys.source().ended),
      client.lrange(keys.history, 0, -1),
      this.#errors.read(),
    ]);
    const terms = await this.#readTerms(group.sources);
    this.#forgetOthers(group);
    const { now, messages, paused, instances, sources, keeper } = group;
    const handlingPaused = paused.handling !== undefined;
    return {
      now,
      leader: leaderOf(group, ended, terms),
      keeper: { ...keeper.leader, since: Date.parse(keeper.leader?.since ?? '') || 0 },
      instances: instances.map((known) => this.#instanceOf(known)),
      sources: sources.map((source) => this.#sourceOf(source)),
      messages: {
        ...messages,
        everFailed: parseSamples(samples).at(-1)?.[5] ?? messages.failed,
        paused: handlingPaused,
      },
      paused: { generating: paused.generating ?? null, handling: paused.handling ?? null },
      failures: failuresOf(group),
      errors,
      terms,
      history: { stepMs: SAMPLE_INTERVAL_MS, samples: parseSamples(samples).filter(([at]) => at <= now) },
    };
  }

  /** The newest terms of all sources. */
  async #readTerms(sources: readonly SourceState[]): Promise<LiveTerm[]> {
    const { client } = this.#options;
    const lists = await Promise.all(
      sources.slice(0, MAX_TERM_SOURCES).map(async ({ role }) => {
        const terms = parseTerms(await client.lrange(role.keys.terms, 0, MAX_TERMS - 1));
        return terms.map((term) => (role.source === undefined ? term : { ...term, source: role.source }));
      }),
    );
    return lists
      .flat()
      .sort((a, b) => (lists.length === 1 ? 0 : b.since - a.since))
      .slice(0, MAX_TERMS);
  }

  #forgetOthers({ instances, sources }: GroupState): void {
    const names = new Set([
      ...instances.map(({ instance }) => instance),
      ...sources.map(({ role }) => role.id),
    ]);
    for (const name of this.#rates.keys()) if (!names.has(name)) this.#rates.delete(name);
  }

  #instanceOf({ seen, ...report }: KnownInstance): LiveInstance {
    const { instance, startedAt, board, host, pid, handled, failed, state, slow = 0, stalled = [] } = report;
    return {
      ...{ instance, host, pid, handled, failed, state, slow, stalled, generates: report.generates },
      startedAt: Date.parse(startedAt),
      rate: state === 'dead' ? null : this.#rateOf(instance, handled + failed),
      ...(state !== 'alive' && { heardAt: seen }),
      ...(board && { board }),
    };
  }

  #sourceOf({ role, leader, generated, cursorJson, state, pause }: SourceState): LiveSource {
    const cursor = cursorJson ?? '';
    return {
      source: role.source ?? null,
      leader: leader?.instance ?? null,
      term: leader?.term ?? null,
      generated,
      cursor: cursor.length > MAX_CURSOR ? `${cursor.slice(0, MAX_CURSOR)}…` : cursor,
      state,
      pause: pause ?? null,
      rate: this.#rateOf(role.id, generated),
    };
  }

  /** Messages per second, computed from what this process has observed. */
  #rateOf(instance: string, done: number): number | null {
    const at = performance.now();
    const seen = (this.#rates.get(instance) ?? []).filter((look) => at - look.at <= RATE_MS.max);
    this.#rates.set(instance, [...seen, { at, done }]);
    const first = seen[0];
    if (first === undefined || at - first.at < RATE_MS.min) return null;
    const rate = Math.max(0, done - first.done) / ((at - first.at) / 1000);
    return Math.round(rate * 10) / 10;
  }
}

function leaderOf(
  { sources, instances }: GroupState,
  ended: Record<string, string>,
  terms: readonly LiveTerm[],
): LiveLeader {
  const { leader, record } = sources.find(({ role }) => role.source === undefined) ?? {};
  if (record === undefined) return {};
  if (leader === undefined)
    return ended['term'] === String(record.term) ? { vacantSince: Number(ended['at']) } : {};
  const { instance, term } = leader;
  const entry = terms.find((each) => each.term === term && each.instance === instance);
  const present = instances.some((each) => each.instance === instance && each.state !== 'dead');
  return { instance, term, since: entry?.since ?? Date.parse(leader.since), present };
}
