import { createHash, timingSafeEqual } from 'node:crypto';
import type { HonoRequest, MiddlewareHandler } from 'hono';
import { basicAuth } from 'hono/basic-auth';
import { isLoopback } from '../configuration/loopback';
import type { BoardSettings } from './settings';

/**
 * Access rules. The board can delete messages and, on loopback, requires no password. The threat there is not the
 * network but other web pages in the same browser. Such a page can send requests to this port, with the password that
 * the browser remembers. It can also point its own domain name at 127.0.0.1 and then even read the responses (DNS
 * rebinding). It cannot forge Host, Origin or Sec-Fetch-Site, so these headers are checked.
 */

/** Paths without a password: their content is not confidential, and probes can rarely send a password. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** OPTIONS changes nothing either, but a read-only board refuses it all the same. */
const HARMLESS: ReadonlySet<string> = new Set([...READING, 'OPTIONS']);

/** The host of a Host header: without its port, and an IPv6 address without its brackets. */
function hostOf(header: string): string {
  return header.replace(/^\[(.*)\](?::\d*)?$|^([^:]*):\d*$/, '$1$2');
}

/** Bound to loopback, refuses requests that name another host. */
export function requireLoopbackHost({ host: bound }: Pick<BoardSettings, 'host'>): MiddlewareHandler {
  const local = isLoopback(bound);
  return async (c, next) => {
    if (local && !isLoopback(hostOf(c.req.header('host') ?? ''))) {
      return c.text(
        'Forbidden: this board is bound to loopback and accepts only requests to localhost, 127.0.0.1 or [::1].',
        403,
      );
    }
    return next();
  };
}

/** Requires basic authentication, if there is a password, on all paths but OPEN_PATHS. */
export function requirePassword({
  user,
  password,
}: Pick<BoardSettings, 'user' | 'password'>): MiddlewareHandler {
  if (password === undefined) return (_c, next) => next();
  const auth = basicAuth({
    realm: 'node-instances-communication',
    verifyUser: (givenUser, givenPassword) => {
      // Always compare both: the time taken must not reveal which of them was wrong.
      const passwordFits = equal(givenPassword, password);
      const userFits = user === undefined || equal(givenUser, user);
      return passwordFits && userFits;
    },
  });
  return (c, next) => (OPEN_PATHS.has(c.req.path) ? next() : auth(c, next));
}

/** Compares digests in constant time. Digests have the same length, whatever was typed. */
function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** On a read-only board, refuses all changes, before Bull Board's own read-only mode sees them. */
export function refuseChangesWhenReadOnly({ readOnly }: Pick<BoardSettings, 'readOnly'>): MiddlewareHandler {
  return async (c, next) => {
    if (readOnly && !READING.has(c.req.method)) return c.text('Forbidden: this board is read-only.', 403);
    return next();
  };
}

/** Refuses changes requested by pages of other origins. Programs other than browsers send none of these headers. */
export const refuseForeignChanges: MiddlewareHandler = async (c, next) => {
  if (HARMLESS.has(c.req.method)) return next();
  const origin = c.req.header('origin');
  const site = c.req.header('sec-fetch-site');
  const foreign =
    (origin !== undefined && origin !== ownOrigin(c.req)) ||
    (site !== undefined && site !== 'same-origin' && site !== 'none');
  if (foreign) return c.text('Forbidden: this change was requested by a page of another origin.', 403);
  return next();
};

/**
 * The origin of this board in the browser. A proxy that terminates TLS sets X-Forwarded-Proto. A page cannot add that
 * header without a preflight request, which the board never grants.
 */
function ownOrigin(request: HonoRequest): string | undefined {
  // If a host has built the request itself, both are those of the URL.
  const { host, protocol } = new URL(request.url);
  const forwardedProto = request.header('x-forwarded-proto')?.split(',')[0]?.trim();
  const scheme = forwardedProto === 'https' || protocol === 'https:' ? 'https' : 'http';
  const url = `${scheme}://${request.header('host') ?? host}`;
  return URL.canParse(url) ? new URL(url).origin : undefined;
}
