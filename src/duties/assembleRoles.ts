import type { EventEmitter } from 'node:events';
import type { Queue, Telemetry } from 'bullmq';
import type { Config } from '../configuration/config';
import type { HostEvents } from '../instance/events';
import type { MessageWorker } from '../handling/worker';
import type { Keys } from '../keys';
import { generatorRole, keeperRole } from '../leadership/role';
import type { Logger } from '../logging/logger';
import { DeadInstances } from '../membership/deadInstances';
import type { RedisAddress } from '../redis/address';
import type { Connections } from '../redis/connections';
import type { Supervisor } from '../supervision/supervisor';
import { generates, type Task } from '../tasks/task';
import type { Metrics } from '../web/metrics';
import { Balancer } from './balancer';
import { GeneratorDuty } from './generator';
import { keepPromises } from './keeper';
import { type Duty, RoleElections, type RoleObserver } from './roleElections';

export interface AssembleRolesOptions {
  readonly connections: Connections;
  readonly keys: Keys;
  readonly config: Config;
  readonly queue: Queue;
  /** The Redis that the error recorder's thread connects to. */
  readonly redis: RedisAddress;
  readonly task: Task;
  /** Names of the sources; undefined: one unnamed source. */
  readonly sources?: readonly string[] | undefined;
  readonly traces?: { readonly telemetry: Telemetry } | undefined;
  readonly supervisor: Supervisor;
  readonly metrics: Metrics | undefined;
  /** Emits `changed` when this instance starts or stops leading a role. */
  readonly events: EventEmitter;
  /** Receives the generator roles that this instance starts or stops leading. */
  readonly hostEvents: Pick<HostEvents, 'emit'>;
  readonly logger: Logger;
}

/** The roles that this instance campaigns for: the keeper, and, if it can generate, one generator for each source. */
export function assembleRoles(
  options: AssembleRolesOptions,
  worker: Pick<MessageWorker, 'pause' | 'resume'>,
) {
  const { connections, keys, config, queue, redis, supervisor, logger } = options;
  const { control } = connections;
  // Watches from the start: if this instance becomes the keeper, it must know which instances it has seen.
  const deadInstances = new DeadInstances({ client: control, keys });
  const generators = createGenerators(options);
  const keeper: Duty = {
    role: keeperRole(keys),
    lead: (term) =>
      keepPromises(term, { control, queue, address: redis, keys, config, supervisor, deadInstances, logger }),
  };
  const gate = new HandlingGate(
    worker,
    config,
    generators.map(({ role }) => role.id),
  );
  const elections: RoleElections = new RoleElections({
    ...{ connections, keys, config, logger },
    duties: [
      ...generators.map(({ role, duty }): Duty => ({ role, lead: (term) => duty.lead(term) })),
      keeper,
    ],
    chooseSuccessor: (role) => balancer.chooseSuccessor(role),
    chooseSuccessors: (roles, dead) => balancer.chooseSuccessors(roles, dead),
    observer: observe(options, gate),
  });
  const balancer: Balancer = new Balancer({
    ...{ control, keys, instance: config.instanceName, logger },
    holders: () => elections.watch.holders,
    led: () => elections.led.map(({ role }) => role),
    handOver: (roleId, successor) => elections.handOver(roleId, successor),
  });
  return { elections, generators, balancer, gate };
}

function observe(
  { config, metrics, events, hostEvents, logger }: AssembleRolesOptions,
  gate: HandlingGate,
): RoleObserver {
  return {
    changed(role, event, term) {
      gate.decided(role.id, event === 'elected');
      if (event === 'elected' && role.kind === 'generator' && !config.generatorHandles)
        logger.info('the generator does not handle messages itself (GENERATOR_HANDLES=false)');
      events.emit('changed');
      if (role.kind === 'generator' && term !== undefined)
        hostEvents.emit(event, { role: role.id, source: role.source ?? null, term });
    },
    following: (role) => gate.decided(role.id, false),
    renewed: (outcome, tookMs) => metrics?.renewed(outcome, tookMs),
    tookOver(role, cause) {
      if (role.kind === 'generator') metrics?.tookOver(cause);
    },
  };
}

/** Creates one generator for each source, unless this instance or its task does not generate. */
function createGenerators({
  connections,
  keys,
  config,
  sources,
  task,
  traces,
  logger,
}: AssembleRolesOptions) {
  if (!config.canGenerate || !generates(task)) return [];
  const telemetry = traces?.telemetry;
  return (sources ?? [undefined]).map((name) => {
    const role = generatorRole(keys, name);
    return { role, duty: new GeneratorDuty({ role, connections, keys, task, config, telemetry, logger }) };
  });
}

/** Decides whether this instance handles messages now: with GENERATOR_HANDLES=false, it does not while it generates. */
class HandlingGate {
  readonly #worker: Pick<MessageWorker, 'pause' | 'resume'>;
  readonly #always: boolean;
  /** Whether this instance leads each generator role; undefined until that is known. */
  readonly #leads: Map<string, boolean | undefined>;

  constructor(
    worker: Pick<MessageWorker, 'pause' | 'resume'>,
    { generatorHandles }: Pick<Config, 'generatorHandles'>,
    generatorRoles: readonly string[],
  ) {
    this.#worker = worker;
    this.#always = generatorHandles;
    this.#leads = new Map(generatorRoles.map((id) => [id, undefined]));
  }

  /** Starts handling, unless it is not yet known whether this instance generates. */
  open(): void {
    const states = [...this.#leads.values()];
    if (this.#always || states.every((leads) => leads === false)) this.#worker.resume();
    else if (states.includes(true)) this.#worker.pause();
  }

  decided(roleId: string, leads: boolean): void {
    if (!this.#leads.has(roleId) || this.#leads.get(roleId) === leads) return;
    this.#leads.set(roleId, leads);
    this.open();
  }
}
