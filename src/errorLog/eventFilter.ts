import { type BackendFactory, createRedisBackend, type RedisQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import { sleep } from '../time';

/** Events read in one step: it takes Redis a millisecond or two. */
const BATCH_SIZE = 1000;
/** Minimum time between two reads, in milliseconds: recording a failure is delayed by up to this. */
const READ_INTERVAL_MS = 25;
/** How long one command waits for the next event, in milliseconds. BullMQ replaces the connection 1 s after that. */
const BLOCK_MS = 750;
const RETRY_MS = 100;

const READ_EVENTS = loadScript(__dirname, 'readEvents');

type Event = [id: string, fields: string[]];

/**
 * The backend for a QueueEvents that receives only errors. By itself, QueueEvents blocks until the next event, so that
 * Redis wakes it for every message, and it parses about five events for each: as much work as handling the message.
 *
 * It never rejects, because QueueEvents pauses for 5 s after a failed read. It never waits without a deadline: the
 * blocking connection only wakes it, and the events are read on `control`.
 *
 * @param onRead called after each read with whether it reached the end of the stream
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
      // If a blocking read does not return, no other follows it, because it would only queue up behind it.
      waiting ??= waitForNext(id, BLOCK_MS)
        .catch(() => sleep(RETRY_MS))
        .finally(() => (waiting = undefined));
      await Promise.race([waiting, sleep(BLOCK_MS * 1.5)]);
      return null;
    };
    return backend;
  };
}
