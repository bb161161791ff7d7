import type { Redis } from 'ioredis';
import { toError } from '../errors';
import type { Logger } from '../logging/logger';
import { sleep } from '../time';

/** Interval between attempts to write while Redis refuses writes, in milliseconds. */
const WRITE_INTERVAL_MS = 500;

export interface OutageOptions {
  /** One connection represents all of them. */
  readonly client: Redis;
  /** A key that does not exist. Deleting it is a write that changes nothing. */
  readonly probeKey: string;
  /** Aborts when the instance stops: connections that close from then on are closed on purpose. */
  readonly stopped: AbortSignal;
  readonly logger: Logger;
}

/**
 * Logs once that Redis is unreachable, and once that it is back. It is back when it accepts a write again: a server
 * that has become a read-only replica accepts connections, and ioredis closes each of them when it refuses a command.
 */
export function logOutages({ client, probeKey, stopped, logger }: OutageOptions): void {
  let away = false;
  let probing = false;
  client.on('close', () => {
    if (!away && !stopped.aborted) logger.warn('Redis is away or refuses writes; retrying until it is back');
    away = true;
  });
  client.on('ready', () => {
    if (!probing) void untilWritable();
  });

  async function untilWritable(): Promise<void> {
    probing = true;
    while (away && !stopped.aborted) {
      if (client.status === 'ready' && (await isWritable())) {
        away = false;
        logger.info('Redis is back');
      } else {
        await sleep(WRITE_INTERVAL_MS, stopped);
      }
    }
    probing = false;
  }

  async function isWritable(): Promise<boolean> {
    try {
      await client.del(probeKey);
      return true;
    } catch (error) {
      // Not every user has this permission, and the refusal is an answer too.
      return toError(error).message.startsWith('NOPERM');
    }
  }
}
