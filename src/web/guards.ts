import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { basicAuth } from 'hono/basic-auth';
import { isLoopback } from '../loopback';
import type { BoardSettings } from './settings';

/**
 * Who may ask for what. The board can delete messages and, on loopback, asks for no password: the threat there is
 * not the network but the web pages that the same person has open. A page can send requests to this port from the
 * person's own browser, with the password that the browser remembers, or point a name of its own at 127.0.0.1 and
 * then even read the answers (DNS rebinding). It can forge neither Host, nor Origin, nor Sec-Fetch-Site: so these
 * are what is checked.
 */

/** For machines that watch: nothing in them is worth a password, and probes rarely can send one. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** OPTIONS changes nothing either; it is kept out of a read-only board all the same. */
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
        'Forbidden: bound to loopback, this board answers to localhost, 127.0.0.1 and [::1] only.',
        403,
      );
    }
    return next();
  };
}

/** Basic auth, when there is a password, on all but the paths that machines watch. */
export function requirePassword({
  user,
  password,
}: Pick<BoardSettings, 'user' | 'password'>): MiddlewareHandler {
  if (password === undefined) return (_c, next) => next();
  const auth = basicAuth({
    realm: 'node-instances-communication',
    verifyUser: (givenUser, givenPassword) => {
      // Both are always compared: the time taken must not tell which of them was wrong.
      const passwordFits = equal(givenPassword, password);
      const userFits = user === undefined || equal(givenUser, user);
      return passwordFits && userFits;
    },
  });
  return (c, next) => (OPEN_PATHS.has(c.req.path) ? next() : auth(c, next));
}

/** Compares digests, which are of one length whatever was typed, in constant time. */
function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** On a read-only board, refuses whatever does more than read, before Bull Board's own read-only mode is asked. */
export function refuseChangesWhenReadOnly({ readOnly }: Pick<BoardSettings, 'readOnly'>): MiddlewareHandler {
  return async (c, next) => {
    if (readOnly && !READING.has(c.req.method)) return c.text('Forbidden: this board is read-only.', 403);
    return next();
  };
}

/** Refuses a change that a page of another origin asks for. Programs that are no browsers send none of the headers. */
export const refuseForeignChanges: MiddlewareHandler = async (c, next) => {
  if (HARMLESS.has(c.req.method)) return next();
  const origin = c.req.header('origin');
  const site = c.req.header('sec-fetch-site');
  const foreign =
    (origin !== undefined && origin !== ownOrigin(c.req.header('host'), c.req.header('x-forwarded-proto'))) ||
    (site !== undefined && site !== 'same-origin' && site !== 'none');
  if (foreign) return c.text('Forbidden: this change was asked for by a page of another origin.', 403);
  return next();
};

/**
 * The origin that this board has in the browser. A proxy that ends TLS says so in X-Forwarded-Proto; a page can not
 * add that header to a request without a preflight, which is never granted here.
 */
function ownOrigin(host = '', forwardedProto = ''): string | undefined {
  const scheme = forwardedProto.split(',')[0]?.trim() === 'https' ? 'https' : 'http';
  const url = `${scheme}://${host}`;
  return URL.canParse(url) ? new URL(url).origin : undefined;
}
