import { type BackendFactory, createRedisBackend, type RedisQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import { sleep } from '../time';

/** Events looked at in one step: a millisecond or two of Redis's time. */
const PORTION = 1000;
/** The least time from one read to the next, in milliseconds. So much later is a failure on record. */
const BETWEEN_READS_MS = 25;

const READ_EVENTS = loadScript(__dirname, 'readEvents');

type Event = [id: string, fields: string[]];

/**
 * The backend for a QueueEvents that is interested in errors alone. Left to itself QueueEvents waits for the next event,
 * so that Redis wakes it for every message, and takes apart some five events for each: as much work as handling it.
 */
export function readingErrors(control: Redis, keys: Pick<Keys, 'events'>): BackendFactory<RedisQueueBackend> {
  return (name, opts, options) => {
    const backend = createRedisBackend(name, opts, options);
    const waitForNext = backend.readEvents.bind(backend);
    let nextAt = 0;
    backend.readEvents = async (id, blockTimeout) => {
      await sleep(nextAt - performance.now());
      // Where it can not be read now, the connection below waits until Redis is back.
      const [found, read] = (await control
        .eval(READ_EVENTS, 1, keys.events, id, PORTION)
        .catch(() => [[], 0])) as [Event[], number];
      nextAt = performance.now() + (read < PORTION ? BETWEEN_READS_MS : 0);
      return read > 0 ? [[keys.events, found]] : waitForNext(id, blockTimeout);
    };
    return backend;
  };
}
