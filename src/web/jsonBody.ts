import type { Context } from 'hono';

/**
 * Reads the body of a request that changes something, and returns an object, or the response that refuses it. Only JSON
 * is accepted: a form of another site cannot send this type without a preflight request, which is never granted.
 */
export async function readJsonBody(c: Context): Promise<Record<string, unknown> | Response> {
  if (c.req.header('content-type')?.split(';')[0]?.trim() !== 'application/json') {
    return c.text('Expected application/json.', 415);
  }
  const body: unknown = await c.req.json().catch(() => undefined);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return c.text('Expected a JSON object.', 400);
  }
  return body as Record<string, unknown>;
}
