import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { redisOf } from '../redis/resolve';
import type { Config } from '../config';
import { type Keys, keysOf } from '../keys';
import { LeaseNodes } from '../leadership/lease';
import { timingsOf } from '../leadership/timings';
import { ErrorLog } from '../errorLog/errorLog';
import { closeClient, RedisConnector } from '../redis/connector';
import type { RedisAddress } from '../redis/address';

/** What a command needs of Redis: it looks and mends, and takes no part. */
export async function openAccess(config: Config) {
  const keys = keysOf(config.namespace);
  const connector = new RedisConnector({ address: redisOf(config), key: keys.lease });
  // Shorter than an instance's, so that a command gives up within 5 s whenever Redis stops to answer.
  const client = await connector.connect('control', { commandTimeout: 2500 });
  // Loading BullMQ takes as long as all the rest of a command, and most commands get by without.
  let opening: Promise<Queue> | undefined;
  const openQueue = () =>
    (opening ??= import('../redis/queue.js').then((module) => module.openQueue(client, keys)));
  const opened = [client];
  return {
    client,
    openQueue,
    keys,
    namespace: config.namespace,
    errorLog: new ErrorLog(client, { remove: async (id) => (await openQueue()).remove(id) }, keys),
    /** The leases, to look at. Their nodes are asked for only by who needs them. */
    async openLeases(): Promise<LeaseNodes> {
      const nodes =
        config.leaseRedis === undefined
          ? [client]
          : await leaseNodes(config.leaseRedis, keys, config.leaseTtlMs);
      if (config.leaseRedis !== undefined) opened.push(...nodes);
      return new LeaseNodes({ nodes, ttlMs: config.leaseTtlMs });
    },
    close: () => Promise.all(opened.map((each) => closeClient(each))),
  };
}

/** Connections to the nodes of the lease, as far as they can be reached. */
function leaseNodes(addresses: readonly RedisAddress[], { lease }: Keys, ttlMs: number): Promise<Redis[]> {
  const commandTimeout = timingsOf(ttlMs).leaseCommandTimeout.ms;
  return Promise.all(
    addresses.map((address) => {
      const connector = new RedisConnector({ address, key: lease });
      return connector.connect('lease', { commandTimeout }).catch(() => connector.connectLater('lease'));
    }),
  );
}
