import type { Connections } from './redis/connections';
import type { Keys } from './keys';
import type { Leader } from './duties/leader';
import type { Election } from './leadership/election';
import { presentAmong } from './membership/presence';
import type { MessageWorker } from './handling/worker';
import { withDeadline } from './time';
import { readFigures } from './group/gauges';
import type { Metrics } from './web/metrics';
import type { Probes, Readiness } from './web/settings';

export interface ProbedParts {
  readonly connections: Pick<Connections, 'control' | 'queue'>;
  readonly keys: Keys;
  readonly instance: string;
  readonly worker: Pick<MessageWorker, 'works' | 'activeCount'>;
  readonly election: Pick<Election, 'term' | 'overdue'>;
  readonly leader: Pick<Leader, 'isListening'>;
  /** Aborts when the instance is stopped. */
  readonly stopped: AbortSignal;
  /** Undefined without a board. */
  readonly metrics: Metrics | undefined;
}

/** Longest wait for Redis, in milliseconds: probes rarely wait for longer than a second. */
const DEADLINE_MS = 800;

const OK = 'ok';

/** What an instance answers to machines that watch it. */
export function createProbes(parts: ProbedParts): Probes {
  const { connections, keys, worker, election, metrics } = parts;
  const doing = () => ({
    term: election.term?.number,
    overdue: election.overdue,
    inHand: worker.activeCount,
  });
  const figures = () => readFigures(connections.control, keys);
  return {
    isHealthy: () => worker.works,
    readiness: () => checkReadiness(parts),
    metrics: async () => (await metrics?.text(doing, figures)) ?? '',
  };
}

/**
 * Whether this instance does its work: it handles messages, the others can see that it lives, and it does what a leader
 * does if it leads. One that follows is ready. Anybody may read the answer: no text in it comes from elsewhere.
 */
async function checkReadiness(parts: ProbedParts): Promise<Readiness> {
  const { worker, election, leader, stopped } = parts;
  const { redis, presence } = await askRedis(parts);
  const leads = election.term !== undefined;
  const checks = {
    instance: stopped.aborted ? 'is shutting down' : OK,
    redis,
    worker: worker.works ? OK : 'has stopped',
    presence,
    listener: leads && !leader.isListening ? 'does not listen for failures, as the generator has to' : OK,
    leadership: election.overdue ? 'leads, but could not renew its lease in time' : OK,
  };
  return { ready: Object.values(checks).every((found) => found === OK), checks };
}

/** Whether the others see this instance: one command, which takes a Redis that answers and the subscription. */
async function askRedis({ connections: { control, queue }, keys, instance }: ProbedParts) {
  const unknown = 'is not known without Redis';
  if (control.status !== 'ready') return { redis: 'is away', presence: unknown };
  try {
    const looking = presentAmong(control, keys, [instance]);
    const present = await withDeadline(looking, DEADLINE_MS, 'asking Redis');
    return {
      redis: queue.status === 'ready' ? OK : 'is away from the queue',
      presence: present.has(instance) ? OK : 'is not subscribed: the others take this instance for gone',
    };
  } catch {
    return { redis: `did not answer within ${DEADLINE_MS} ms`, presence: unknown };
  }
}
