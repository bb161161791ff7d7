import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { HTTPException } from 'hono/http-exception';
import { secureHeaders } from 'hono/secure-headers';
import { BOARD_PATH, createBoard } from './board';
import {
  refuseChangesWhenReadOnly,
  refuseForeignChanges,
  requireLoopbackHost,
  requirePassword,
} from './guards';
import type { LiveFeed } from './liveFeed';
import { createLivePage, type PageFiles } from './livePage';
import { createOperateRoutes } from './operate';
import { createProbeRoutes } from './probes';
import type { BoardOptions } from './settings';

const MAX_BODY_BYTES = 1024 * 1024;

/**
 * Creates the routes of the board's port.
 *
 * @param mounted whether it runs in the host's server, which decides about its own address: any Host is accepted
 */
export function createApp(
  options: BoardOptions,
  feed: LiveFeed,
  page: PageFiles,
  { mounted = false } = {},
): Hono {
  const { settings, logger } = options;
  const app = new Hono({ strict: false });

  app.use(
    securityHeaders,
    neverStored,
    ...(mounted ? [] : [requireLoopbackHost(settings)]),
    requirePassword(settings),
    refuseChangesWhenReadOnly(settings),
    refuseForeignChanges,
    copyableRequest,
    bodyLimit({ maxSize: MAX_BODY_BYTES }),
  );

  app.route('/', createProbeRoutes(options));
  app.route('/', createLivePage(options, feed, page));
  app.route('/operate', createOperateRoutes(options));
  app.route(BOARD_PATH, createBoard(options));

  // Never echo a request in its response, neither in a page nor in plain text.
  app.notFound((c) => c.text('Not found', 404));
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    logger.warn('a request to the board failed', { error, method: c.req.method, path: c.req.path });
    return c.text('Internal server error', 500);
  });
  return app;
}

/**
 * bodyLimit copies a request without a Content-Length. Only node-server's own global Request could copy the object that
 * node-server passes in place of a Request, and server.ts tells it not to install that.
 */
const copyableRequest: MiddlewareHandler = async (c, next) => {
  const { url, method, headers, body } = c.req.raw;
  if (body !== null) c.req.raw = new Request(url, { method, headers, body, duplex: 'half' });
  return next();
};

/** For both pages: nothing is loaded from or sent to other origins, and the page cannot be framed. */
const STRICT = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'"],
  connectSrc: ["'self'"],
  baseUri: ["'none'"],
  formAction: ["'none'"],
  frameAncestors: ["'none'"],
};

const headersWith = (contentSecurityPolicy: Record<string, string[]>) =>
  secureHeaders({
    contentSecurityPolicy,
    xFrameOptions: 'DENY',
    // The board uses plain HTTP. A proxy that adds TLS decides this for everything that it serves.
    strictTransportSecurity: false,
  });

/** With Trusted Types, parsing text as markup throws: text from messages cannot become markup even by mistake. */
const ownHeaders = headersWith({ ...STRICT, requireTrustedTypesFor: ["'script'"], trustedTypes: ["'none'"] });

const boardHeaders = headersWith({
  ...STRICT,
  // Bull Board highlights code in a worker.
  workerSrc: ["'self'"],
  // Bull Board's components use style attributes.
  styleSrc: ["'self'", "'unsafe-inline'"],
  imgSrc: ["'self'", 'data:'],
  fontSrc: ["'self'"],
  // Bull Board's page has a base element.
  baseUri: ["'self'"],
  formAction: ["'self'"],
});

const securityHeaders: MiddlewareHandler = (c, next) => (isBoard(c) ? boardHeaders : ownHeaders)(c, next);

function isBoard(c: Context): boolean {
  return c.req.path === BOARD_PATH || c.req.path.startsWith(`${BOARD_PATH}/`);
}

/** Caches must not store job data. They can store assets, which have a Last-Modified header. */
const neverStored: MiddlewareHandler = async (c, next) => {
  await next();
  if (!c.res.headers.has('last-modified')) c.header('Cache-Control', 'no-store');
};
