import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Logger } from '../logger';
import { closeClient, RedisConnector, type Role } from './connector';
import type { RedisAddress } from './address';
import type { Releases } from '../supervision/releases';

/** The Redis connections of one instance, by role. */
export interface Connections {
  readonly queue: Redis;
  readonly control: Redis;
  /** One for each node of the lease. */
  readonly lease: readonly Redis[];
  readonly subscriber: Redis;
  /** A new one for each use: see redis.ts. */
  commit(): Promise<Redis>;
}

export interface ConnectionsOptions {
  readonly address: RedisAddress;
  readonly keys: Pick<Keys, 'lease'>;
  /** The nodes of the lease, if they are others. */
  readonly leaseAddresses: readonly RedisAddress[] | undefined;
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
  const { address, leaseAddresses, releases, stopped, logger } = options;
  const onError = (role: Role, error: Error) => logger.debug('connection error', { role, error });
  const key = options.keys.lease;
  const connector = new RedisConnector({ address, key, onError });
  const open = async (role: Role, settings = {}): Promise<Redis> => {
    const client = await connector.connect(role, settings);
    releases.push(`the ${role} connection`, () => closeClient(client));
    return client;
  };
  const leaseSettings = { commandTimeout: options.leaseTimeoutMs };
  // Of several nodes some may be missing, also at the start: that is what several are for.
  const openNodes = (addresses: readonly RedisAddress[]): Redis[] =>
    addresses.map((node) => {
      const client = new RedisConnector({ address: node, key, onError }).connectLater('lease', leaseSettings);
      releases.push('a lease connection', () => closeClient(client));
      return client;
    });
  const [queue, control, lease, subscriber] = await Promise.all([
    open('queue'),
    open('control'),
    leaseAddresses === undefined
      ? open('lease', leaseSettings).then((client) => [client])
      : openNodes(leaseAddresses),
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
