import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { redisOf } from '../redis/resolve';
import type { Config } from '../configuration/config';
import { type Keys, keysOf } from '../keys';
import { LeaseNodes } from '../leadership/lease';
import { timingsOf } from '../leadership/timings';
import { ErrorLog } from '../errorLog/errorLog';
import { closeClient, RedisConnector } from '../redis/connector';
import type { RedisAddress } from '../redis/address';

/** What a command needs to access Redis. A command reads and operates the group without being a member. */
export async function openAccess(config: Config) {
  const keys = keysOf(config.namespace);
  const connector = new RedisConnector({ address: redisOf(config), key: keys.errors });
  // Shorter than an instance's timeout, so that a command gives up within 5 s whenever Redis stops answering.
  const client = await connector.connect('control', { commandTimeout: 2000 });
  // Loading BullMQ takes as long as all the rest of a command, and most commands get by without.
  let opening: Promise<Queue> | undefined;
  const openQueue = () =>
    (opening ??= import('../redis/queue.js').then((module) => module.openQueue(client, keys)));
  const opened = [client];
  /** The nodes of the lease; empty if the lease uses the main Redis. */
  const openLeaseNodes = async (): Promise<Redis[]> => {
    if (config.leaseRedis === undefined) return [];
    const nodes = await leaseNodes(config.leaseRedis, keys, config.leaseTtlMs);
    opened.push(...nodes);
    return nodes;
  };
  return {
    client,
    openQueue,
    keys,
    namespace: config.namespace,
    errorLog: new ErrorLog(client, { remove: async (id) => (await openQueue()).remove(id) }, keys),
    /** Opens the leases for reading. Only commands that need them connect to their nodes. */
    async openLeases(): Promise<LeaseNodes> {
      const nodes = await openLeaseNodes();
      return new LeaseNodes({ nodes: nodes.length === 0 ? [client] : nodes, ttlMs: config.leaseTtlMs });
    },
    openLeaseNodes,
    close: () => Promise.all(opened.map((each) => closeClient(each))),
  };
}

/** Connects to the nodes of the lease that can be reached. */
function leaseNodes(
  addresses: readonly RedisAddress[],
  { errors: key }: Keys,
  ttlMs: number,
): Promise<Redis[]> {
  const commandTimeout = timingsOf(ttlMs).leaseCommandTimeout.ms;
  return Promise.all(
    addresses.map((address) => {
      const connector = new RedisConnector({ address, key });
      return connector.connect('lease', { commandTimeout }).catch(() => connector.connectLater('lease'));
    }),
  );
}
