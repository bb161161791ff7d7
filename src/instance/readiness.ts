import type { Connections } from '../redis/connections';
import type { Keys } from '../keys';
import type { GeneratorDuty } from '../duties/generator';
import type { RoleElections } from '../duties/roleElections';
import { presentAmong } from '../membership/presence';
import type { MessageWorker } from '../handling/worker';
import type { Supervisor } from '../supervision/supervisor';
import { withDeadline } from '../time';
import { toGauges } from '../group/gauges';
import { type GroupSource, readGroup } from '../group/read';
import type { InstanceStats, Metrics } from '../web/metrics';
import type { Readiness } from './shapes';
import type { Probes } from '../web/settings';

export interface ProbedParts {
  readonly connections: Pick<Connections, 'control' | 'queue'>;
  readonly keys: Keys;
  readonly instance: string;
  readonly worker: Pick<MessageWorker, 'works' | 'activeCount' | 'slowCount' | 'oldestActiveMs'>;
  readonly elections: Pick<RoleElections, 'led' | 'overdue'>;
  readonly generators: readonly { readonly duty: Pick<GeneratorDuty, 'waitingMs' | 'problem'> }[];
  readonly supervisor: Pick<Supervisor, 'stalled' | 'names'>;
  /** The source of the group's state. */
  readonly group: GroupSource;
  /** Aborts when the instance is stopped. */
  readonly stopped: AbortSignal;
  /** Undefined without a board. */
  readonly metrics: Metrics | undefined;
}

/** Longest wait for Redis, in milliseconds: probes rarely wait for longer than a second. */
const DEADLINE_MS = 800;

/** A commit that waits for longer than this is reported, in milliseconds. */
const MAX_COMMIT_MS = 3000;

const OK = 'ok';

/** Creates what an instance answers to monitoring. */
export function createProbes(parts: ProbedParts): Probes {
  const { worker, elections, supervisor, metrics } = parts;
  const stats = (): InstanceStats => {
    const led = elections.led;
    const stalled = new Set(supervisor.stalled.map(({ name }) => name));
    const sourcesLed = led.filter(({ role }) => role.kind === 'generator').length;
    return {
      leads: sourcesLed > 0,
      keeper: led.some(({ role }) => role.kind === 'keeper'),
      sourcesLed,
      overdue: elections.overdue,
      active: worker.activeCount,
      slow: worker.slowCount,
      oldestActiveMs: worker.oldestActiveMs,
      activities: supervisor.names.map((name) => ({ name, stalled: stalled.has(name) })),
    };
  };
  const gauges = async () => toGauges(await readGroup(parts.group));
  return {
    isHealthy: () => worker.works,
    readiness: () => checkReadiness(parts),
    metrics: async () => (await metrics?.text(stats, gauges)) ?? '',
  };
}

/**
 * Checks whether this instance works: it handles messages, the others can see that it is alive, and all its background
 * activities make progress. A follower is ready too. Anyone may read the answer, so it contains no text from outside.
 */
async function checkReadiness(parts: ProbedParts): Promise<Readiness> {
  const { worker, elections, supervisor, stopped } = parts;
  const { redis, presence } = await askRedis(parts);
  const stalled = supervisor.stalled.map(({ name, forMs }) => `${name} for ${Math.round(forMs / 1000)} s`);
  const checks = {
    instance: stopped.aborted ? 'is shutting down' : OK,
    redis,
    worker: worker.works ? OK : 'has stopped',
    presence,
    activities: stalled.length > 0 ? `no progress: ${stalled.join(', ')}` : OK,
    commits: checkCommits(parts),
    leadership: elections.overdue ? 'leads, but could not renew its lease in time' : OK,
  };
  return { ready: Object.values(checks).every((found) => found === OK), checks };
}

/** Checks whether what this instance generates can be committed. */
function checkCommits({ generators }: ProbedParts): string {
  if (generators.some(({ duty }) => duty.problem !== undefined))
    return 'Redis holds data that commits cannot use: see the log';
  const longest = Math.max(0, ...generators.map(({ duty }) => duty.waitingMs));
  return longest > MAX_COMMIT_MS ? `Redis has not answered a commit for ${Math.round(longest / 1000)} s` : OK;
}

/** Checks whether the other instances see this one, with one command: it needs a working Redis and the subscription. */
async function askRedis({ connections: { control, queue }, keys, instance }: ProbedParts) {
  const unknown = 'is not known without Redis';
  if (control.status !== 'ready') return { redis: 'is away', presence: unknown };
  try {
    const looking = presentAmong(control, keys, [instance]);
    const present = await withDeadline(looking, DEADLINE_MS, 'asking Redis');
    return {
      redis: queue.status === 'ready' ? OK : 'is away from the queue',
      presence: present.has(instance) ? OK : 'is not subscribed: the other instances consider this one dead',
    };
  } catch {
    return { redis: `did not answer within ${DEADLINE_MS} ms`, presence: unknown };
  }
}
