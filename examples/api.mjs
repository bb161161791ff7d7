// Each item of a paginated HTTP API becomes a message, once and in order.
//
//   API_URL=https://example.org/orders TASK=examples/api.mjs npm start
//
// The API answers GET requests with pages in JSON, oldest items first, and is expected to add items at the end only:
//
//   GET /orders            { "items": [{ "id": 1, ... }, ...], "next": "b2" }
//   GET /orders?page=b2    { "items": [{ "id": 3, ... }, ...], "next": null }
//
// "next" is the token of the next page. Without it, this page is the last one for now: it is requested again every
// EVERY_MS milliseconds until it has more items or a token. To adapt this to another API, change `addressOf`, which
// builds the address of a page, and `readPage`, which finds items, ids and token in an answer.
//
// The cursor is { page, seen }: the token of the page to read, and the ids of those of its items that are in the queue.
import { env } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const REQUEST_TIMEOUT_MS = 30_000;
const MIN_RETRY_MS = 500;
const MAX_RETRY_MS = 60_000;
const MAX_RETRY_AFTER_MS = 3_600_000;

const settings = readSettings();

export async function* generate({ cursor = { page: null, seen: [] }, signal, logger }) {
  let { page, seen } = checked(cursor);
  while (!signal.aborted) {
    const { items, next } = await requestPage(page, { signal, logger });
    if (signal.aborted) return;
    const done = new Set(seen);
    const messages = items.filter(({ id }) => !done.has(id)).map(({ item }) => item);
    const isLast = next === null || next === page;
    if (isLast) seen = items.map(({ id }) => id);
    else [page, seen] = [next, []];
    // An unchanged page commits nothing.
    if (messages.length > 0 || !isLast) yield { messages, cursor: { page, seen } };
    // An empty page is not followed at once either: some APIs return a new token each time, even if nothing is new.
    if (isLast || items.length === 0) await pause(settings.everyMs, signal);
  }
}

export function handle(item, { id, logger }) {
  logger.info('item', { id, item });
}

/** The address of a page; of the first one if `page` is null. */
function addressOf(page) {
  const address = new URL(settings.url);
  if (page !== null) address.searchParams.set('page', page);
  return address;
}

/** The items of a page, each with its id as a string, and the token of the next page; null if there is none. */
function readPage(answer) {
  const { items, next = null } = answer ?? {};
  if (!Array.isArray(items))
    throw new Error('the API answered without "items", expected { items: [...], next }');
  if (next !== null && typeof next !== 'string') {
    throw new Error(`the API answered with "next" of type ${typeof next}, expected a string or null`);
  }
  const byId = new Map();
  for (const [index, item] of items.entries()) {
    const id = item?.id;
    if (typeof id !== 'string' && typeof id !== 'number') {
      throw new Error(`item ${index} of a page has no "id", expected a string or a number`);
    }
    if (!byId.has(String(id))) byId.set(String(id), item);
  }
  return { items: [...byId].map(([id, item]) => ({ id, item })), next: next || null };
}

/**
 * Requests a page until there is an answer. Retries temporary failures: a network that is down, a timeout, 429 and
 * 5xx. Throws for anything else, such as 401 or an unexpected answer: the failure is then recorded, and another
 * instance can try.
 */
async function requestPage(page, { signal, logger }) {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      return readPage(await request(addressOf(page), signal));
    } catch (error) {
      if (signal.aborted) break;
      if (!(error instanceof Passing)) throw error;
      const inMs = Math.max(backoff(failures), error.retryAfterMs);
      // Logged once, since an outage can be long.
      logger[failures === 1 ? 'warn' : 'debug']('the API is not available; trying again', { error, inMs });
      await pause(inMs, signal);
    }
  }
  return { items: [], next: null };
}

/** One request, with a timeout that includes the body. */
async function request(address, signal) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, REQUEST_TIMEOUT_MS);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const headers = { accept: 'application/json' };
    if (settings.token) headers.authorization = `Bearer ${settings.token}`;
    const response = await fetch(address, { headers, signal: controller.signal }).catch(notReached);
    if (response.ok) return parse(await response.text().catch(notReached));
    await response.body?.cancel();
    const text = `the API answered ${response.status}, expected 200`;
    if (!isPassing(response.status)) throw new Error(text);
    throw new Passing(text, { retryAfterMs: retryAfterMs(response.headers) });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

function notReached(cause) {
  const reason = cause.name === 'AbortError' ? `no answer within ${REQUEST_TIMEOUT_MS} ms` : cause.message;
  throw new Passing(`the API cannot be reached: ${reason}`, { cause });
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new Error('the API answered with something other than JSON', { cause });
  }
}

/** Request Timeout, Too Early, Too Many Requests, and server errors. */
function isPassing(status) {
  return [408, 425, 429].includes(status) || status >= 500;
}

/** The delay that the server asks for in Retry-After: in seconds, or as a date on the server's clock. */
function retryAfterMs(headers) {
  const text = headers.get('retry-after') ?? '';
  const now = Date.parse(headers.get('date')) || Date.now();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : 0;
}

/** Doubled with each failure in a row, with jitter, so that not all clients of an API return at once. */
function backoff(failures) {
  const most = Math.min(MIN_RETRY_MS * 2 ** failures, MAX_RETRY_MS);
  return Math.round(most * (0.5 + Math.random() / 2));
}

async function pause(ms, signal) {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

class Passing extends Error {
  constructor(message, { retryAfterMs = 0, ...options }) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
  }
}

function checked(cursor) {
  const { page, seen } = cursor ?? {};
  if ((page === null || typeof page === 'string') && Array.isArray(seen)) return cursor;
  throw new Error(
    `the cursor ${JSON.stringify(cursor)} is another task's, expected { page, seen }: give this one a NAMESPACE`,
  );
}

/** The settings in the environment, or an error that names everything that is wrong with them. */
function readSettings() {
  const { API_URL: url = '', API_TOKEN: token, EVERY_MS } = env;
  const problems = [];
  if (!isAddress(url)) {
    const found = url === '' ? 'not set' : JSON.stringify(url.slice(0, 200).replace(/\/\/[^/]*@/, '//***@'));
    problems.push(`API_URL is ${found}, expected an http or https address without user and password`);
  }
  const everyMs = EVERY_MS ? Number(/^\d+$/.exec(EVERY_MS)?.[0]) : 60_000;
  if (!(everyMs >= 1 && everyMs <= 2_147_483_647)) {
    const found = JSON.stringify(EVERY_MS.slice(0, 100));
    problems.push(`EVERY_MS is ${found}, expected a whole number of milliseconds from 1 to 2147483647`);
  }
  if (problems.length > 0) throw new Error(problems.join('; '));
  return { url, token, everyMs };
}

function isAddress(text) {
  try {
    const { protocol, username, password } = new URL(text);
    return /^https?:$/.test(protocol) && username === '' && password === '';
  } catch {
    return false;
  }
}
