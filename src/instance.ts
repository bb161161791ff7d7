import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import type { Config } from './config';
import { toError } from './errors';
import { keysOf } from './keys';
import { Election, type Term } from './leadership/election';
import { CrashWatch } from './leadership/crashWatch';
import { leaseTimeoutMs, RedisLease } from './leadership/lease';
import { Presence } from './leadership/presence';
import { forgetTheGone, goneAmong, Heartbeat } from './leadership/registry';
import { takeTerm } from './leadership/term';
import type { Logger } from './logger';
import { Committer } from './messages/commit';
import { ErrorLog } from './messages/errorLog';
import { recordErrors } from './messages/errorRecorder';
import { generateMessages } from './messages/generator';
import { jobOptions, openQueue } from './messages/queue';
import { giveBackUnheard, redeliver } from './messages/redelivery';
import { MessageWorker } from './messages/worker';
import { closeClient, RedisConnector, type Role } from './redis';
import type { RedisAddress } from './redisUrl';
import { Releases } from './shutdown';
import type { Task } from './tasks/task';
import { sleep, systemClock } from './time';

export interface InstanceOptions {
  readonly config: Config;
  readonly redis: RedisAddress;
  readonly task: Task;
  readonly logger: Logger;
}

/** How often the leader forgets instances that are long gone, in milliseconds. */
const SWEEP_MS = 10_000;
/** Spread of followers that all hear of the same hand-over, in milliseconds. */
const HANDOVER_JITTER_MS = 15;

/**
 * One running instance: built by hand from its parts, started in order. Gives what stops it again, in reverse.
 *
 * @throws AppError (exit code 1) if Redis can not be reached; nothing is left running then.
 */
export async function runInstance(options: InstanceOptions): Promise<{ stop(): Promise<void> }> {
  const { config, redis, task } = options;
  const logger = options.logger.child({ instance: config.instanceName });
  const releases = new Releases(logger);
  const stopped = new AbortController();
  try {
    const keys = keysOf(config.namespace);
    const { instanceName: instance, leaseTtlMs: ttlMs } = config;
    const connector = new RedisConnector(redis, (role, error) =>
      logger.debug('connection error', { role, error }),
    );
    const open = async (role: Role, settings = {}): Promise<Redis> => {
      const client = await connector.connect(role, settings);
      releases.push(`the ${role} connection`, () => closeClient(client));
      return client;
    };
    const [queueClient, control, leaseClient, subscriber] = await Promise.all([
      open('queue'),
      open('control'),
      open('lease', { commandTimeout: leaseTimeoutMs(ttlMs) }),
      open('subscriber'),
    ]);
    let away = false;
    control.on('close', () => {
      if (!away && !stopped.signal.aborted) logger.warn('Redis is away; trying to reach it again');
      away = true;
    });
    control.on('ready', () => {
      logger.info('Redis is back');
      away = false;
    });

    const queue = openQueue(queueClient, keys);
    const errorLog = new ErrorLog(control, queue, keys);
    const worker = new MessageWorker({ connection: queueClient, keys, task, instance, config, logger });
    const lease = new RedisLease({ nodes: [leaseClient], key: keys.lease, ttlMs });

    // What a leader does beside generating. It ends with the term, but stepping down does not wait for it: two at a
    // time do no harm.
    const chores = new Set<Promise<void>>();
    const lead = (term: Term): Promise<void> => {
      const log = logger.child({ term: term.number });
      const { signal } = term;
      if (!config.generatorHandles) {
        worker.pause();
        log.info('the generator handles no messages itself (GENERATOR_HANDLES=false)');
      }
      announce('elected');
      for (const chore of [
        recordErrors({ connection: queueClient, control, keys, errorLog, signal, logger: log }),
        redeliver({
          client: control,
          queue,
          keys,
          goneAmong: (names) => goneAmong(control, keys, names),
          onStall: config.onStall,
          signal,
          logger: log,
        }),
        sweep(signal),
      ]) {
        chores.add(chore);
        void chore.finally(() => chores.delete(chore));
      }
      const committer = new Committer({
        connect: () => connector.connect('commit'),
        keys,
        instance,
        term,
        jobOptions: jobOptions(config),
        maxBacklog: config.maxBacklog,
        logger: log,
      });
      return generateMessages({ task, committer, signal, logger: log });
    };
    const sweep = async (signal: AbortSignal): Promise<void> => {
      while (!signal.aborted) {
        await sleep(SWEEP_MS, signal);
        await forgetTheGone(control, keys).catch((error: unknown) =>
          logger.debug('not swept', { error: toError(error) }),
        );
      }
    };
    const announce = (event: 'elected' | 'left') =>
      void presence
        .announce(event)
        .catch((error: unknown) => logger.debug('not announced', { error: toError(error) }));

    const election: Election = new Election({
      lease,
      takeTerm: () => takeTerm(control, keys, instance),
      lead,
      onSteppedDown: () => announce('left'),
      onFollowing: () => worker.resume(),
      clock: systemClock,
      logger,
      ttlMs,
    });
    // A Redis that is back may have no leader.
    leaseClient.on('ready', () => election.wake());
    const watch = new CrashWatch({
      control,
      keys,
      lease,
      isLeading: () => election.term !== undefined,
      onGone: () => election.wake(),
      logger,
    });
    const presence: Presence = new Presence({
      control,
      subscriber,
      keys,
      instance,
      onElected: () => watch.relearn(),
      // Not all in the same instant.
      onSteppedDown: () => void sleep(Math.random() * HANDOVER_JITTER_MS).then(() => election.wake()),
      logger,
    });
    const startedAt = new Date().toISOString();
    const heartbeat = new Heartbeat({
      control,
      keys,
      instance,
      report: () => ({ host: hostname(), pid: process.pid, startedAt, ...worker.counts }),
      logger,
    });

    await presence.start();
    await heartbeat.start();
    releases.push('the heartbeat', () => heartbeat.stop(worker.inHand === 0));
    // If nobody leads any more, nobody hears of these.
    releases.push('the last errors', () => errorLog.sync(worker.failedAtTheEnd));
    releases.push('the chores of a leader', () => Promise.all(chores));
    queueClient.on('ready', () => {
      void giveBackUnheard({
        client: control,
        queue,
        keys,
        instance,
        holds: (id) => worker.holds(id),
        renounce: (token) => worker.renounce(token),
        signal: stopped.signal,
        logger,
      });
    });
    // A generator that handles nothing must not take a message before it knows what it is.
    if (config.generatorHandles) worker.resume();
    releases.push('the worker', () => worker.stop(config.shutdownTimeoutMs), config.shutdownTimeoutMs + 2000);
    watch.start();
    releases.push('the crash watch', () => watch.stop());
    election.start();
    releases.push('leadership', () => election.stop());
    logger.info('started', { name: instance, namespace: config.namespace });

    if (config.board.on) {
      const starting = startBoard();
      releases.push('the board', async () => (await starting)?.close());
    }
    async function startBoard() {
      try {
        // Loaded when messages are already being handled: it takes longer to load than all the rest.
        const { startBoard: start } = await import('./web/server.js');
        return await start({
          queue,
          settings: config.board,
          namespace: config.namespace,
          logger,
          isHealthy: () => true,
        });
      } catch (error) {
        logger.warn('there is no board', { error: toError(error) });
        return undefined;
      }
    }
  } catch (error) {
    await releases.releaseAll();
    throw error;
  }

  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopped.abort();
    return releases.releaseAll();
  };
  return { stop: () => (stopping ??= stop()) };
}
