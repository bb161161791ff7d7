import { type BackendFactory, createRedisBackend, type RedisQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import { sleep } from '../time';

/** Events read in one step: a millisecond or two of Redis's time. */
const BATCH_SIZE = 1000;
/** The least time from one read to the next, in milliseconds: failures are recorded with up to this delay. */
const READ_INTERVAL_MS = 25;
/** How long to wait for the next event in one command, in milliseconds. BullMQ replaces the connection 1 s after that. */
const BLOCK_MS = 750;
const RETRY_MS = 100;

const READ_EVENTS = loadScript(__dirname, 'readEvents');

type Event = [id: string, fields: string[]];

/**
 * The backend for a QueueEvents that is interested in errors alone. On its own, QueueEvents blocks until the next event,
 * so that Redis wakes it for every message, and parses some five events for each: as much work as handling it.
 *
 * It never rejects: after a failed read, QueueEvents would pause for 5 s. It waits for nothing without a deadline: the
 * connection that blocks only serves to be woken, and the events are read on `control`.
 *
 * @param onRead told of each read, and whether it reached the end of the stream
 */
export function readingErrors(
  control: Redis,
  keys: Pick<Keys, 'events'>,
  onRead: (atEnd: boolean) => void,
): BackendFactory<RedisQueueBackend> {
  return (name, opts, options) => {
    const backend = createRedisBackend(name, opts, options);
    const waitForNext = backend.readEvents.bind(backend);
    let nextAt = 0;
    let waiting: Promise<unknown> | undefined;
    backend.readEvents = async (id) => {
      await sleep(nextAt - performance.now());
      let found: Event[], count: number;
      try {
        const reply = await control.eval(READ_EVENTS, 1, keys.events, id, BATCH_SIZE);
        [found, count] = reply as [Event[], number];
      } catch {
        await sleep(RETRY_MS);
        return null;
      }
      onRead(count < BATCH_SIZE);
      nextAt = performance.now() + (count < BATCH_SIZE ? READ_INTERVAL_MS : 0);
      if (count > 0) return [[keys.events, found]];
      // One that does not come back is not followed by another, which would only queue up behind it.
      waiting ??= waitForNext(id, BLOCK_MS)
        .catch(() => sleep(RETRY_MS))
        .finally(() => (waiting = undefined));
      await Promise.race([waiting, sleep(BLOCK_MS * 1.5)]);
      return null;
    };
    return backend;
  };
}
