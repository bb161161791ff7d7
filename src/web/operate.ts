/*
 * The routes with which the live view operates the group. They do the same as the commands of these names, by the same
 * code. Guards for all routes (guards.ts) keep out other hosts, other origins, and all changes on a read-only board.
 */
import { type Context, Hono } from 'hono';
import { auth } from 'hono/utils/basic-auth';
import { AppError } from '../errors';
import { PAUSABLE } from '../operating/pause';
import { readJsonBody } from './jsonBody';
import { Operations } from './operations';
import type { BoardOptions } from './settings';

const NAME = /^[\w-]{1,64}$/;
const MAX_INSTANCE_NAME = 300;

/** The routes under /operate. */
export function createOperateRoutes({
  groupSource,
  instance,
  logger,
}: Pick<BoardOptions, 'groupSource' | 'instance' | 'logger'>): Hono {
  const app = new Hono();
  if (groupSource === undefined) return app;
  const operations = new Operations(groupSource);
  /** Responds with what was done, or with why it was not. */
  const perform = async (c: Context, what: string, fields: object, run: () => Promise<object>) => {
    try {
      const result = await run();
      logger.info(`${what}, from the live view`, { ...fields });
      return c.json(result);
    } catch (error) {
      if (error instanceof AppError) return c.text(error.message, 409);
      throw error;
    }
  };

  for (const action of ['pause', 'resume'] as const) {
    app.post(`/${action}`, async (c) => {
      const body = await readJsonBody(c);
      if (body instanceof Response) return body;
      const what = PAUSABLE.find((each) => each === body['what']);
      const source = sourceIn(body['source']);
      if (what === undefined || source === 'invalid')
        return c.text('Expected { "what": "generating", "handling" or "all", "source"? }.', 400);
      const by = personIn(c, instance);
      return perform(c, `${action}d ${what}`, { by, source: source.name }, async () => {
        await operations[action](what, source.name, by);
        return {};
      });
    });
  }

  app.get('/cursor', async (c) => {
    const source = sourceIn(c.req.query('source') ?? null);
    if (source === 'invalid') return c.text('Expected the name of a source.', 400);
    const { cursorJson, generated } = await operations.position(source.name);
    return c.json({ cursor: cursorJson ?? null, generated });
  });

  app.post('/cursor', async (c) => {
    const body = await readJsonBody(c);
    if (body instanceof Response) return body;
    const change = cursorChangeIn(body);
    if (typeof change === 'string') return c.text(change, 400);
    const by = personIn(c, instance);
    return perform(c, 'moved the cursor', { by, source: change.source }, async () => {
      const { from } = await operations.setCursor({ ...change, by });
      return { from: from ?? null, to: change.cursorJson ?? null };
    });
  });

  app.post('/handover', async (c) => {
    const body = await readJsonBody(c);
    if (body instanceof Response) return body;
    const source = sourceIn(body['source']);
    const to = body['instance'] ?? undefined;
    if (source === 'invalid' || !(to === undefined || isInstanceName(to)))
      return c.text('Expected { "instance"?, "source"? }.', 400);
    const by = personIn(c, instance);
    return perform(c, 'handed over', { by, source: source.name, to }, async () => {
      return { leader: await operations.handOver(source.name, to, by) };
    });
  });
  return app;
}

/** Returns the source that a request names; null and undefined name none. */
function sourceIn(value: unknown): { readonly name: string | undefined } | 'invalid' {
  if (value === undefined || value === null) return { name: undefined };
  return typeof value === 'string' && NAME.test(value) ? { name: value } : 'invalid';
}

function isInstanceName(value: unknown): value is string {
  return typeof value === 'string' && /^\S+$/.test(value) && value.length <= MAX_INSTANCE_NAME;
}

/** Cursors are sent as JSON text, so that exactly what was shown and typed is compared and stored. */
function cursorChangeIn({ source, cursor, reset, expect }: Record<string, unknown>) {
  const named = sourceIn(source);
  const isReset = reset === true && cursor === undefined;
  if (named === 'invalid' || !(isReset || (reset === undefined && typeof cursor === 'string')))
    return 'Expected { "cursor": JSON text } or { "reset": true }, and optionally "source" and "expect".';
  const cursorJson = isReset ? undefined : normalJson(cursor as string);
  if (!isReset && cursorJson === undefined) return 'The new cursor is not JSON.';
  if (expect === undefined || expect === null) return { source: named.name, cursorJson, expect };
  const expected = typeof expect === 'string' ? normalJson(expect) : undefined;
  if (expected === undefined) return 'The expected cursor is not JSON.';
  return { source: named.name, cursorJson, expect: expected };
}

function normalJson(text: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Who requests it, as far as known: the authenticated user, and the instance that served the page. */
function personIn(c: Context, instance: string): string {
  const user = auth(c.req.raw)?.username ?? '';
  return `${user.replace(/[^\p{L}\p{N}._-]/gu, '').slice(0, 64) || 'live-view'}@${instance}`;
}
