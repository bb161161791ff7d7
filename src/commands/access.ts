import { redisOf } from '../chooseRedis';
import type { Config } from '../config';
import { AppError, toError } from '../errors';
import { keysOf } from '../keys';
import { ErrorLog } from '../messages/errorLog';
import { openQueue } from '../messages/queue';
import { closeClient, RedisConnector } from '../redis';

/** What a command needs of Redis: it looks and mends, and takes no part. */
export async function openAccess(config: Config) {
  const connector = new RedisConnector(redisOf(config));
  // Shorter than an instance's, so that a command gives up within 5 s whenever Redis stops to answer.
  const client = await connector.connect('control', { commandTimeout: 3000 });
  const keys = keysOf(config.namespace);
  const queue = openQueue(client, keys);
  return {
    client,
    queue,
    keys,
    namespace: config.namespace,
    errorLog: new ErrorLog(client, queue, keys),
    close: () => closeClient(client),
  };
}
