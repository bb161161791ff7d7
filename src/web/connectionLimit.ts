import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Leaves room for the live view's 200 pages, for probes and for Bull Board. */
const MAX_CONNECTIONS = 300;
/** A client that reads nothing of its response for this long is disconnected, in milliseconds. */
const STALLED_MS = 30_000;

/**
 * Limits the connections of an HTTP server, so that they never use up the file descriptors that the connections to
 * Redis need. At the limit, a new connection replaces the one that has been without a request for the longest time. If
 * all of them carry requests, the new one is closed. So idle clients do not keep probes out.
 *
 * @param max defaults to 300, or to half the limit of open files if that is less
 */
export function limitConnections(
  server: Server,
  { max = Math.min(MAX_CONNECTIONS, Math.floor(maxOpenFiles() / 2)), stalledMs = STALLED_MS } = {},
): void {
  let open = 0;
  /** Connections without a request, longest idle first. */
  const idle = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open++;
    idle.add(socket);
    socket.once('close', () => {
      open--;
      idle.delete(socket);
    });
    if (open > max) idle.values().next().value?.destroy();
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.once('close', () => {
      if (!socket.destroyed) idle.add(socket);
    });
  });
  // With a listener, Node.js does not destroy the socket itself: a slow answer is not the client's fault.
  server.setTimeout(stalledMs, (socket: Socket) => {
    if (socket.writableLength > 0 || idle.has(socket)) socket.destroy();
  });
}

/** Returns this process's limit of open files, if the platform shows it easily. */
function maxOpenFiles(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}
