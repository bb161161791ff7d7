import { readdirSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { extname, join } from 'node:path';
import type { HttpBindings } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import { readJsonBody } from './jsonBody';
import type { LiveFeed } from './liveFeed';
import type { LiveGroup, ShownError } from '../group/live';
import type { BoardOptions } from './settings';

/** The directory of the page's files, in src and in dist. */
const FILES = join(__dirname, 'live');

const TYPES: Record<string, string | undefined> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Maximum number of errors in one request. */
const MAX_ERRORS = 1000;

export interface PageFiles {
  /** A hash of all files. A page that was loaded before an update reloads itself. */
  readonly version: string;
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Reads the page's files. */
export function readPageFiles(): PageFiles {
  const names = readdirSync(FILES).filter((name) => TYPES[extname(name)] !== undefined);
  const files = new Map(names.sort().map((name) => [name, readFileSync(join(FILES, name))]));
  const hash = createHash('sha256');
  for (const content of files.values()) hash.update(content);
  return { version: hash.digest('hex').slice(0, 12), files };
}

/** The routes of the live view: its page at /, its files, the event stream, and the changes that it can request. */
export function createLivePage(
  { group, logger }: Pick<BoardOptions, 'group' | 'logger'>,
  feed: Pick<LiveFeed, 'open' | 'changed'>,
  { files }: PageFiles,
): Hono<{ Bindings: Partial<HttpBindings> }> {
  const app = new Hono<{ Bindings: Partial<HttpBindings> }>();
  const file = (c: Context, name: string) => {
    const content = files.get(name);
    if (content === undefined) return c.notFound();
    return c.body(new Uint8Array(content), 200, { 'Content-Type': TYPES[extname(name)]! });
  };

  app.get('/', (c) => file(c, 'index.html'));
  app.get('/live/:name', (c) => file(c, c.req.param('name')));

  app.get('/events', (c) => {
    const headers = { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' };
    // A HEAD response would leave the stream unread.
    if (c.req.method === 'HEAD') return c.body(null, 200, headers);
    const stream = feed.open(() => c.env?.outgoing?.destroy());
    if (stream !== undefined) return c.body(stream, 200, headers);
    return c.text(
      'Too many live views are open on this instance. Close one, or open the live view of another instance.',
      503,
    );
  });

  app.get('/live/errors/:message', async (c) => {
    const details = await group.details(c.req.param('message'));
    return details === undefined ? c.text('There is no longer an error with this id.', 404) : c.json(details);
  });

  for (const action of ['retry', 'clear'] as const) {
    app.post(`/live/errors/${action}`, async (c) => {
      const body = await readJsonBody(c);
      if (body instanceof Response) return body;
      const which = whichErrors(body);
      if (which === undefined) {
        return c.text('Expected { "all": true } or { "errors": [{ "id", "failedAt" }] }, at most 1000.', 400);
      }
      const result = await group[action](which);
      logger.info(
        action === 'retry'
          ? 'errors were retried from the live view'
          : 'errors were cleared from the live view',
        {
          errors: result.done,
        },
      );
      feed.changed();
      return c.json(result);
    });
  }
  return app;
}

/** Returns undefined for an invalid body. */
function whichErrors({
  all,
  errors,
}: Record<string, unknown>): Parameters<LiveGroup['retry']>[0] | undefined {
  if (all === true && errors === undefined) return 'all';
  if (all !== undefined || !Array.isArray(errors) || errors.length === 0 || errors.length > MAX_ERRORS)
    return undefined;
  return errors.every(isShownError) ? errors : undefined;
}

function isShownError(value: unknown): value is ShownError {
  const { id, failedAt } = (value ?? {}) as Partial<ShownError>;
  return typeof id === 'string' && typeof failedAt === 'string';
}
