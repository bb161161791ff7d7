import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import type { Config } from './config';
import { toError } from './errors';
import { keysOf } from './keys';
import { Election, type Term } from './leadership/election';
import { createLease, leaseTimeoutMs } from './leadership/lease';
import { forgetTheGone, Presence } from './leadership/presence';
import { takeTerm } from './leadership/term';
import type { Logger } from './logger';
import { Committer } from './messages/commit';
import { ErrorLog } from './messages/errorLog';
import { recordErrors } from './messages/errorRecorder';
import { generateMessages } from './messages/generator';
import { jobOptions, openQueue } from './messages/queue';
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

/**
 * One running instance: built by hand from its parts, started in order. Gives what stops it again, in reverse.
 *
 * @throws AppError (exit code 1) if Redis can not be reached; nothing is left running then.
 */
export async function runInstance(options: InstanceOptions): Promise<{ stop(): Promise<void> }> {
  const { config, redis, task } = options;
  const logger = options.logger.child({ instance: config.instanceName });
  const releases = new Releases(logger);
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
    control.on('close', () => logger.warn('Redis is away; trying to reach it again'));
    control.on('ready', () => logger.info('Redis is back'));

    const queue = openQueue(queueClient, keys);
    const errorLog = new ErrorLog(control, queue, keys);
    const worker = new MessageWorker({ connection: queueClient, keys, task, instance, config, logger });

    const lead = async (term: Term): Promise<void> => {
      const termLogger = logger.child({ term: term.number });
      const committer = new Committer({
        connect: () => connector.connect('commit'),
        keys,
        instance,
        term,
        jobOptions: jobOptions(config),
        maxBacklog: config.maxBacklog,
        logger: termLogger,
      });
      if (!config.generatorHandles) worker.pause();
      await Promise.all([
        generateMessages({ task, committer, signal: term.signal, logger: termLogger }),
        recordErrors({
          connection: queueClient,
          control,
          keys,
          errorLog,
          signal: term.signal,
          logger: termLogger,
        }),
        sweep(term.signal),
      ]);
    };
    const sweep = async (signal: AbortSignal): Promise<void> => {
      while (!signal.aborted) {
        await sleep(SWEEP_MS, signal);
        await forgetTheGone(control, keys).catch((error: unknown) =>
          logger.debug('not swept', { error: toError(error) }),
        );
      }
    };

    const election: Election = new Election({
      lease: createLease({ nodes: [leaseClient], key: keys.lease, ttlMs }),
      takeTerm: () => takeTerm(control, keys, instance),
      lead,
      announce: () => presence.announceHandover(),
      onFollowing: () => worker.resume(),
      clock: systemClock,
      logger,
      ttlMs,
    });
    const startedAt = new Date().toISOString();
    const presence = new Presence({
      control,
      subscriber,
      keys,
      instance,
      report: () => ({ host: hostname(), pid: process.pid, startedAt, ...worker.counts }),
      onHandover: () => election.wake(),
      logger,
    });

    await presence.start();
    releases.push('presence', () => presence.stop());
    // A generator that handles nothing must not take a message before it knows what it is.
    if (config.generatorHandles) worker.resume();
    releases.push('the worker', () => worker.stop(config.shutdownTimeoutMs), config.shutdownTimeoutMs + 2000);
    election.start();
    releases.push('leadership', () => election.stop());
    logger.info('started', { namespace: config.namespace, pid: process.pid });

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
  return { stop: () => (stopping ??= releases.releaseAll()) };
}
