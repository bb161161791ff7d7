/*
 * The web application inside the host's server, under any path. Requests arrive with their full URLs: the prefix is
 * everything before the first path segment of this application. The live view's own URLs are relative; Bull Board
 * receives the prefix.
 */
import { hostname } from 'node:os';
import { createApp } from './app';
import { LiveFeed } from './liveFeed';
import { readPageFiles } from './livePage';
import type { BoardOptions } from './settings';

export interface Mounted {
  fetch(request: Request): Promise<Response>;
  /** Tells every open page immediately that leadership has changed. */
  changed(): void;
  /** Ends the event streams. */
  close(): Promise<void>;
}

/**
 * A prefix, and a path of this application. Only plain characters are allowed, because Bull Board's page contains the
 * prefix.
 */
const PATH =
  /^(?<prefix>(?:\/[\w.~%-]+)*?)(?<path>\/(?:(?:healthz|readyz|metrics|events|board|live|operate)(?:\/.*)?)?)$/;

export function createMounted(options: BoardOptions): Mounted {
  const { group, logger, namespace, instance, settings } = options;
  const page = readPageFiles();
  const hello = {
    ...{ namespace, instance, host: hostname(), port: 0 },
    ...{ readOnly: settings.readOnly, version: page.version },
  };
  const feed = new LiveFeed({ read: () => group.read(), hello, logger });
  const app = createApp(options, feed, page, { mounted: true });
  return {
    async fetch(request) {
      const { path, prefix } = splitPath(request.url);
      return app.fetch(path === undefined ? request : withPath(request, path), { prefix });
    },
    changed: () => feed.changed(),
    close: () => feed.close(),
  };
}

function splitPath(url: string): { path?: string; prefix: string } {
  const { prefix = '', path } = PATH.exec(new URL(url).pathname)?.groups ?? {};
  return prefix === '' || path === undefined ? { prefix: '' } : { prefix, path };
}

function withPath({ url: given, method, headers, body, signal }: Request, path: string): Request {
  const url = new URL(given);
  url.pathname = path;
  return new Request(url, { method, headers, body, signal, ...(body !== null && { duplex: 'half' }) });
}
