import { resolve } from 'node:path';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { HonoAdapter } from '@bull-board/hono';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono, type MiddlewareHandler } from 'hono';
import { refusalOf } from './boardRules';
import type { BoardOptions } from './settings';

const LOGO = '/live/icon.svg';

/** The path at which Bull Board is mounted. Its page contains it. */
export const BOARD_PATH = '/board';

/** Creates Bull Board for the queue, to be mounted at BOARD_PATH. */
export function createBoard({ queue, settings, namespace, logger }: BoardOptions): Hono {
  const adapter = new HonoAdapter(serveStaticFromAnywhere).setBasePath(BOARD_PATH);
  const shown = {
    readOnlyMode: settings.readOnly,
    allowCompletedRetries: false,
    description: 'Messages of all instances. Only the generator adds messages.',
  };
  createBullBoard({
    queues: [new BullMQAdapter(queue, shown)],
    serverAdapter: adapter,
    options: {
      uiConfig: {
        boardTitle: `node-instances-communication · ${namespace}`,
        boardLogo: { path: LOGO, width: 24, height: 24 },
        favIcon: { default: LOGO, alternative: 'static/favicon-32x32.png' },
        miscLinks: [{ text: 'Live view of the group', url: '/' }],
        // The link leads to an external site.
        hideDocsLink: true,
      },
      handlerHooks: { before: onlyWhatMayChange(queue) },
    },
  });
  // Bull Board's own handler returns the stack if NODE_ENV is "development".
  adapter.setErrorHandler((error) => {
    logger.warn('Bull Board failed', { error });
    return { status: 500, body: { error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' }, message: error.message } };
  });
  return new Hono().use(ownPage).route('/', adapter.registerPlugin());
}

type CreateOptions = NonNullable<Parameters<typeof createBullBoard>[0]['options']>;
type BeforeHook = NonNullable<NonNullable<CreateOptions['handlerHooks']>['before']>;

function onlyWhatMayChange(queue: BoardOptions['queue']): BeforeHook {
  return async ({ method, route, request }) => {
    const { queueStatus: status, jobId } = (request?.params ?? {}) as Record<string, string | undefined>;
    const jobState = async () => (jobId === undefined ? undefined : queue.getJobState(jobId));
    const message = await refusalOf({ method, route, status, jobState });
    return message === undefined ? undefined : { allow: false, status: 403, message };
  };
}

/**
 * Bull Board passes a path relative to the current working directory. It is made absolute at once, because a task
 * module can change the directory later.
 */
const serveStaticFromAnywhere: typeof serveStatic = (options) =>
  serveStatic({ ...options, root: resolve(options?.root ?? '') });

/** In addition to the menu entry, which is hard to find. */
const WAY_BACK = '<a class="back-to-live-view" href="/">← Live view</a>';
const STYLES = '<link rel="stylesheet" href="/live/board.css">';

/** Adds a link to the live view to Bull Board's page, and removes the fonts that it would load from Google. */
const ownPage: MiddlewareHandler = async (c, next) => {
  await next();
  if (!c.res.headers.get('content-type')?.startsWith('text/html')) return;
  const page = await c.res.text();
  const ours = page
    .replace(/<link\b[^>]*\bhref="(https?:)?\/\/[^>]*>/g, '')
    .replace('</head>', `${STYLES}</head>`)
    .replace('<div id="root">', `${WAY_BACK}<div id="root">`);
  c.res = new Response(mountedAt(ours, (c.env as { prefix?: string } | undefined)?.prefix ?? ''), c.res);
};

/** Returns the page with the prefix of the host's server before each path in it. */
function mountedAt(page: string, prefix: string): string {
  return page.replace(/(\b(?:href|src)=|"(?:path|default|url)":)"\//g, (_, name) => `${name}"${prefix}/`);
}
