/*
 * A stalled socket is one on which bytes vanish while it stays open. ioredis's option `socketTimeout` destroys a socket
 * on which a command has been unanswered for that long, but it measures with a timer of this process. After a handler
 * has blocked the event loop, timers run before sockets are read, and a healthy connection would be destroyed although
 * its answer arrived long ago. Therefore the socket is read once more before it is considered stalled.
 *
 * A connection that only receives sends no commands that could stay unanswered. `probe` sends a periodic PING on it.
 */
import type { Redis } from 'ioredis';
import { sleep } from '../time';

/** Interval of the pings on a connection that only receives, in milliseconds. Every instance sends them. */
const PING_INTERVAL_MS = 2500;

/** Makes `socketTimeout` fair to a blocked event loop, on this client and on the ones that BullMQ duplicates from it. */
export function checkTwice(client: Redis): Redis {
  client.on('connect', () => {
    const { stream } = client;
    // ioredis adds a listener for each reply that makes it reconnect; their number equals the commands in flight.
    stream.setMaxListeners(0);
    const destroy = stream.destroy.bind(stream);
    stream.destroy = (error?: Error) => {
      if (!error?.message.startsWith('Socket timeout')) return destroy(error);
      const readBefore = stream.bytesRead;
      // Node.js reads sockets between its timers and its immediates. If an answer arrives, ioredis starts a new timer.
      setImmediate(() => {
        if (stream.bytesRead === readBefore) destroy(error);
      });
      return stream;
    };
  });
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (override) => checkTwice(duplicate(override));
  return client;
}

/** Sends periodic PINGs until `signal` aborts, so that a stall is detected. */
export async function probe(client: Redis, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(PING_INTERVAL_MS, signal);
    // The answer does not matter: its absence destroys the socket. Queueing it while disconnected would be useless.
    if (client.status === 'ready') client.ping().catch(() => undefined);
  }
}
