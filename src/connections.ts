import type { Redis } from 'ioredis';
import type { Logger } from './logger';
import { closeClient, RedisConnector, type Role } from './redis';
import type { RedisAddress } from './redisUrl';
import type { Releases } from './shutdown';

/** The Redis connections of one instance, by role. */
export interface Connections {
  readonly queue: Redis;
  readonly control: Redis;
  readonly lease: Redis;
  readonly subscriber: Redis;
  /** A new one for each use: see redis.ts. */
  commit(): Promise<Redis>;
}

export interface ConnectionsOptions {
  readonly address: RedisAddress;
  /** Time-out of the lease's commands, in milliseconds. */
  readonly leaseTimeoutMs: number;
  readonly releases: Releases;
  /** Aborts when the instance is stopped: connections that end from then on are meant to. */
  readonly stopped: AbortSignal;
  readonly logger: Logger;
}

/**
 * Opens them all at once; `releases` closes them.
 *
 * @throws AppError (exit code 1) if Redis can not be reached.
 */
export async function openConnections(options: ConnectionsOptions): Promise<Connections> {
  const { address, leaseTimeoutMs, releases, stopped, logger } = options;
  const connector = new RedisConnector(address, (role, error) =>
    logger.debug('connection error', { role, error }),
  );
  const open = async (role: Role, settings = {}): Promise<Redis> => {
    const client = await connector.connect(role, settings);
    releases.push(`the ${role} connection`, () => closeClient(client));
    return client;
  };
  const [queue, control, lease, subscriber] = await Promise.all([
    open('queue'),
    open('control'),
    open('lease', { commandTimeout: leaseTimeoutMs }),
    open('subscriber'),
  ]);

  // One of them speaks for all, and once an outage.
  let away = false;
  control.on('close', () => {
    if (!away && !stopped.aborted) logger.warn('Redis is away; trying to reach it again');
    away = true;
  });
  control.on('ready', () => {
    logger.info('Redis is back');
    away = false;
  });
  return { queue, control, lease, subscriber, commit: () => connector.connect('commit') };
}
