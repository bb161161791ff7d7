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
import { createProbeRoutes } from './probes';
import type { BoardOptions } from './settings';

const MAX_BODY_BYTES = 1024 * 1024;

/** Everything that is answered on the board's port. */
export function createApp(options: BoardOptions, feed: LiveFeed, page: PageFiles): Hono {
  const { settings, logger } = options;
  const app = new Hono({ strict: false });

  app.use(
    securityHeaders,
    neverStored,
    requireLoopbackHost(settings),
    requirePassword(settings),
    refuseChangesWhenReadOnly(settings),
    refuseForeignChanges,
    copyableRequest,
    bodyLimit({ maxSize: MAX_BODY_BYTES }),
  );

  app.route('/', createProbeRoutes(options));
  app.route('/', createLivePage(options, feed, page));
  app.route(BOARD_PATH, createBoard(options));

  // What was asked for is never repeated to who asked: not in a page, not in plain text.
  app.notFound((c) => c.text('Not found', 404));
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    logger.warn('a request to the board failed', { error, method: c.req.method, path: c.req.path });
    return c.text('Internal server error', 500);
  });
  return app;
}

/**
 * bodyLimit copies a request that does not say how long its body is. The stand-in for a Request that node-server makes
 * can be copied only by the global Request of its own, which it is told not to install (server.ts).
 */
const copyableRequest: MiddlewareHandler = async (c, next) => {
  const { url, method, headers, body } = c.req.raw;
  if (body !== null) c.req.raw = new Request(url, { method, headers, body, duplex: 'half' });
  return next();
};

/** In both: nothing is loaded from elsewhere, framed, or sent elsewhere. */
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
    // Spoken over plain HTTP. Where a proxy adds TLS, this is the proxy's to decide, for all that it serves.
    strictTransportSecurity: false,
  });

/** Text from messages can not become markup in our own page even by mistake: what would parse it throws. */
const ownHeaders = headersWith({ ...STRICT, requireTrustedTypesFor: ["'script'"], trustedTypes: ["'none'"] });

const boardHeaders = headersWith({
  ...STRICT,
  // Bull Board highlights code in one.
  workerSrc: ["'self'"],
  // Bull Board's components position themselves with style attributes.
  styleSrc: ["'self'", "'unsafe-inline'"],
  imgSrc: ["'self'", 'data:'],
  fontSrc: ["'self'"],
  // Its page names its own base.
  baseUri: ["'self'"],
  formAction: ["'self'"],
});

const securityHeaders: MiddlewareHandler = (c, next) => (isBoard(c) ? boardHeaders : ownHeaders)(c, next);

function isBoard(c: Context): boolean {
  return c.req.path === BOARD_PATH || c.req.path.startsWith(`${BOARD_PATH}/`);
}

/** Job data is not for caches on the way. Assets, which say when they were made, may be kept. */
const neverStored: MiddlewareHandler = async (c, next) => {
  await next();
  if (!c.res.headers.has('last-modified')) c.header('Cache-Control', 'no-store');
};
