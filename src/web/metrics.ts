/*
 * The metrics for Prometheus. There are three kinds:
 *
 * - Recorded as they happen: outcomes of messages, durations of handling and renewals, takeovers. Each recording takes
 *   well under a microsecond, and nothing is awaited.
 * - Read when they are scraped: the state of this instance and, in one round trip, the state of the group in Redis.
 *   Every instance reports the same values for the group: aggregate them with max, never with sum.
 * - Metrics of the process, from prom-client: once per process, however many instances it runs, and only from its first
 *   scrape on. Watching the event loop needs a timer every 10 ms, which is wasted on an instance that is not scraped.
 *
 * No label contains anything from a message.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RenewalOutcome } from '../leadership/options';
import type { EndCause } from '../leadership/term';
import type { HandlingObserver, MessageOutcome } from '../handling/observer';
import { withDeadline } from '../time';
import type { Gauges } from '../group/gauges';
import { SOURCE_STATES } from '../group/read';

/** What an instance is doing now. */
export interface InstanceStats {
  /** Whether it generates. */
  readonly leads: boolean;
  readonly keeper: boolean;
  readonly overdue: boolean;
  /** Number of sources that it generates from. */
  readonly sourcesLed: number;
  /** Messages being handled. */
  readonly active: number;
  /** Number of these that have been active for unusually long. */
  readonly slow: number;
  /** How long the oldest of these has been active, in milliseconds; 0 if there is none. */
  readonly oldestActiveMs: number;
  readonly activities: readonly { readonly name: string; readonly stalled: boolean }[];
}

/** Maximum number of sources with their own series: labels must not grow without bound. */
const MAX_SOURCES = 256;
/** Longest wait for Redis, in milliseconds; after that, only metrics that do not depend on it are returned. */
const REDIS_DEADLINE_MS = 1000;

const HANDLING_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const WAITING_SECONDS = [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400];
const RENEWAL_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

const MESSAGE_OUTCOMES = { completed: 0, failed: 0, retried: 0 } satisfies Record<MessageOutcome, 0>;
const RENEWAL_OUTCOMES = { extended: 0, lost: 0, unanswered: 0 } satisfies Record<RenewalOutcome, 0>;
const CAUSES = { crash: 0, silence: 0, 'hand-over': 0, 'by hand': 0 } satisfies Record<EndCause, 0>;

/** The metrics of the process, shared by all instances in it. */
let ofProcess: Registry | undefined;

/** The metrics of one instance, in its own registry. */
export class Metrics implements HandlingObserver {
  readonly #registry = new Registry();
  readonly #own = this.#define();
  #text: Promise<string> | undefined;

  /** @param namespace the value of the label `group` of each metric */
  constructor(namespace: string) {
    this.#registry.setDefaultLabels({ group: namespace });
    const { messages, renewals, failovers } = this.#own;
    // `rate` does not see the first event of a series that starts with it: start at 0.
    for (const outcome of Object.keys(MESSAGE_OUTCOMES)) messages.inc({ outcome }, 0);
    for (const outcome of Object.keys(RENEWAL_OUTCOMES)) renewals.inc({ outcome }, 0);
    for (const cause of Object.keys(CAUSES)) failovers.inc({ cause }, 0);
  }

  handled(took: number, waited: number | undefined): void {
    this.#own.handling.observe(took / 1000);
    if (waited !== undefined) this.#own.waiting.observe(waited / 1000);
  }

  ended(outcome: MessageOutcome): void {
    this.#own.messages.inc({ outcome });
  }

  renewed(outcome: RenewalOutcome, tookMs: number): void {
    this.#own.renewals.inc({ outcome });
    this.#own.renewal.observe(tookMs / 1000);
  }

  /** Counts that this instance has taken over leadership from another. */
  tookOver(cause: EndCause): void {
    this.#own.failovers.inc({ cause });
  }

  /**
   * Returns all metrics in Prometheus's text format. Never rejects; metrics that Redis does not answer in time are
   * omitted. Concurrent calls share one scrape.
   */
  text(stats: () => InstanceStats, gauges: () => Promise<Gauges>): Promise<string> {
    return (this.#text ??= this.#gather(stats, gauges).finally(() => (this.#text = undefined)));
  }

  async #gather(stats: () => InstanceStats, gauges: () => Promise<Gauges>): Promise<string> {
    const known = await withDeadline(gauges(), REDIS_DEADLINE_MS, 'asking Redis').catch(() => undefined);
    this.#set(stats(), known);
    const texts = await Promise.all([this.#registry.metrics(), processRegistry().metrics()]);
    return texts.join('\n');
  }

  #set(stats: InstanceStats, known: Gauges | undefined): void {
    const own = this.#own;
    own.leader.set(stats.leads ? 1 : 0);
    own.overdue.set(stats.overdue ? 1 : 0);
    own.keeper.set(stats.keeper ? 1 : 0);
    own.sourcesLed.set(stats.sourcesLed);
    own.active.set(stats.active);
    own.slow.set(stats.slow);
    own.oldest.set(stats.oldestActiveMs / 1000);
    own.stalled.reset();
    for (const { name, stalled } of stats.activities) own.stalled.set({ activity: name }, stalled ? 1 : 0);
    own.redisUp.set(known === undefined ? 0 : 1);
    // An old value would be mistaken for a current one.
    for (const metric of [own.term, own.backlog, own.errors, own.generated, own.paused, own.sourceState])
      clear(metric);
    if (known === undefined) return;
    for (const state of ['waiting', 'active', 'delayed'] as const) own.backlog.set({ state }, known[state]);
    own.errors.set(known.errors);
    own.paused.set({ what: 'generating' }, known.paused.generating ? 1 : 0);
    own.paused.set({ what: 'handling' }, known.paused.handling ? 1 : 0);
    for (const { source, generated, term, state } of known.sources.slice(0, MAX_SOURCES)) {
      const labels = source === '' ? {} : { source };
      own.generated.inc(labels, generated);
      own.term.set(labels, term);
      for (const each of SOURCE_STATES)
        own.sourceState.set({ ...labels, state: each }, each === state ? 1 : 0);
    }
  }

  #define() {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, labelNames: string[] = []) =>
      new Gauge({ name, help, labelNames, registers });
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name, help, labelNames, registers });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, registers });
    return {
      leader: gauge('nic_leader', 'Whether this instance is the generator'),
      keeper: gauge('nic_keeper', 'Whether this instance is the keeper'),
      sourcesLed: gauge('nic_sources_led', 'Number of sources that this instance generates from'),
      stalled: gauge(
        'nic_activity_stalled',
        'Whether a background activity has made no progress for too long',
        ['activity'],
      ),
      overdue: gauge(
        'nic_leader_overdue',
        '1 if this instance leads and has not renewed its lease for half of LEASE_TTL_MS',
      ),
      term: gauge('nic_term', 'Number of the newest term', ['source']),
      sourceState: gauge('nic_source_state', 'Whether a source is in this state', ['source', 'state']),
      paused: gauge('nic_paused', 'Whether generating or handling is paused', ['what']),
      failovers: counter(
        'nic_failovers_total',
        'Takeovers by this instance, by how the previous leader ended',
        ['cause'],
      ),
      renewals: counter('nic_lease_renewals_total', 'Attempts to renew the lease', ['outcome']),
      renewal: histogram(
        'nic_lease_renewal_seconds',
        'Duration of attempts to renew the lease',
        RENEWAL_SECONDS,
      ),
      messages: counter(
        'nic_messages_total',
        'Attempts to handle a message on this instance, by outcome; a retried message will be tried again',
        ['outcome'],
      ),
      active: gauge('nic_messages_in_hand', 'Active messages: those that this instance is handling now'),
      slow: gauge(
        'nic_messages_slow',
        'Active messages that take ten times the median, and at least a minute',
      ),
      oldest: gauge(
        'nic_message_oldest_active_seconds',
        'How long the oldest active message of this instance has been active',
      ),
      handling: histogram(
        'nic_message_handling_seconds',
        'Duration of the handle function of the task',
        HANDLING_SECONDS,
      ),
      waiting: histogram(
        'nic_message_waiting_seconds',
        'Time from the commit of a message to its first handling, by the clocks of two machines',
        WAITING_SECONDS,
      ),
      redisUp: gauge('nic_redis_up', 'Whether Redis answered this scrape'),
      backlog: gauge('nic_backlog_messages', 'Messages of the group that are not done', ['state']),
      errors: gauge('nic_errors', 'Recorded errors of the group'),
      generated: counter('nic_generated_total', 'Messages that the group has ever committed', ['source']),
    };
  }
}

/** Removes all values, including a zero. */
function clear(metric: Gauge | Counter): void {
  metric.reset();
  metric.remove({});
}

function processRegistry(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}
