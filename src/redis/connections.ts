import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Logger } from '../logging/logger';
import { closeClient, RedisConnector, type Role } from './connector';
import type { RedisAddress } from './address';
import { logOutages } from './outage';
import { probe } from './stalledSocket';
import type { Releases } from '../supervision/releases';

/** The Redis connections of one instance, by role. */
export interface Connections {
  readonly queue: Redis;
  readonly control: Redis;
  /** One for each node of the lease. */
  readonly lease: readonly Redis[];
  readonly subscriber: Redis;
  /** Opens a new connection for each use: see roles.ts. */
  readonly commit: () => Promise<Redis>;
}

export interface ConnectionsOptions {
  readonly address: RedisAddress;
  readonly keys: Pick<Keys, 'errors' | 'paused' | 'connectionName'>;
  readonly instance: string;
  /** The nodes of the lease, if they are not the Redis at `address`. */
  readonly leaseAddresses: readonly RedisAddress[] | undefined;
  /** Timeout of one command to a lease node, in milliseconds: at most a quarter of LEASE_TTL_MS. */
  readonly leaseTimeoutMs: number;
  readonly releases: Releases;
  /** Aborts when the instance stops: connections that close from then on are closed on purpose. */
  readonly stopped: AbortSignal;
  readonly logger: Logger;
}

/**
 * Opens all connections at once; `releases` closes them.
 *
 * @throws AppError (exit code 1) if Redis cannot be reached.
 */
export async function openConnections(options: ConnectionsOptions): Promise<Connections> {
  const { address, leaseAddresses, releases, stopped, logger } = options;
  const onError = (role: Role, error: Error) => logger.debug('connection error', { role, error });
  const { errors: key } = options.keys;
  const name = options.keys.connectionName(options.instance);
  const connector = new RedisConnector({ address, key, name, onError });
  const open = async (role: Role, settings = {}): Promise<Redis> => {
    const client = await connector.connect(role, settings);
    releases.push(`the ${role} connection`, () => closeClient(client));
    return client;
  };
  const leaseSettings = {
    commandTimeout: options.leaseTimeoutMs,
    // Never more than half of LEASE_TTL_MS: a stalled connection must be replaced in time for another renewal.
    socketTimeout: Math.min(2500, 2 * options.leaseTimeoutMs),
  };
  // A minority of several nodes can be missing, even at the start.
  const openNodes = (addresses: readonly RedisAddress[]): Redis[] =>
    addresses.map((node) => {
      const client = new RedisConnector({ address: node, key, name, onError }).connectLater(
        'lease',
        leaseSettings,
      );
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
  logOutages({ client: control, probeKey: `${options.keys.paused}:probe`, stopped, logger });
  void probe(subscriber, stopped);
  return { queue, control, lease, subscriber, commit: () => connector.connect('commit') };
}
