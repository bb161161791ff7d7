import { resolve } from 'node:path';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { HonoAdapter } from '@bull-board/hono';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono, type MiddlewareHandler } from 'hono';
import type { BoardOptions } from './settings';

/** Where Bull Board is mounted; its page needs to know. */
export const BOARD_PATH = '/board';

/** Bull Board over the one queue, to be mounted at BOARD_PATH. */
export function createBoard({ queue, settings, namespace, logger }: BoardOptions): Hono {
  const adapter = new HonoAdapter(serveStaticFromAnywhere).setBasePath(BOARD_PATH);
  createBullBoard({
    queues: [new BullMQAdapter(queue, { readOnlyMode: settings.readOnly })],
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: `node-instances-communication · ${namespace}` } },
  });
  // Bull Board's own handler answers with the stack where NODE_ENV is "development".
  adapter.setErrorHandler((error) => {
    logger.warn('Bull Board failed', { error });
    return { status: 500, body: { error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' }, message: error.message } };
  });
  return new Hono().use(withoutForeignAssets).route('/', adapter.registerPlugin());
}

/**
 * Bull Board hands over a path relative to the working directory of this moment. Made absolute at once, it holds
 * when a task module changes directory later.
 */
const serveStaticFromAnywhere: typeof serveStatic = (options) =>
  serveStatic({ ...options, root: resolve(options?.root ?? '') });

/** Bull Board's page asks Google for its fonts: not everybody may, and none of them needs to know. */
const withoutForeignAssets: MiddlewareHandler = async (c, next) => {
  await next();
  if (!c.res.headers.get('content-type')?.startsWith('text/html')) return;
  const page = await c.res.text();
  c.res = new Response(page.replace(/<link\b[^>]*\bhref="(https?:)?\/\/[^>]*>/g, ''), c.res);
};
