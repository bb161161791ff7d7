// One polite request for a document that may have changed, used by ../feed.mjs.

const MAX_RETRY_AFTER_MS = 86_400_000;
const ACCEPT =
  'application/feed+json, application/atom+xml, application/rss+xml, application/json;q=0.9, application/xml;q=0.9, */*;q=0.5';

/**
 * The document at `url`, or undefined if it is the one that `etag` and `lastModified` are of. Redirects are followed.
 * Rejects if it does not arrive within `timeoutMs` in total with at most `maxBytes` of body; the error has
 * `retryAfterMs` if the server asked for a delay. Ends at once when `signal` aborts.
 */
export async function request(url, { etag, lastModified }, { signal, timeoutMs, maxBytes }) {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  const late = () => controller.abort(new Error(`it took longer than ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    const { href, headers } = addressOf(url);
    if (etag !== undefined) headers['if-none-match'] = etag;
    if (lastModified !== undefined) headers['if-modified-since'] = lastModified;
    const response = await fetch(href, { headers, signal: controller.signal });
    if (response.status === 304 && (etag ?? lastModified) !== undefined) return undefined;
    if (response.status !== 200) throw refusal(response);
    const body = await read(response.body, maxBytes);
    return {
      body,
      contentType: response.headers.get('content-type') ?? '',
      url: response.url,
      ...validators(response.headers),
    };
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : withCause(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    // Cancel the unread rest.
    controller.abort();
  }
}

/** fetch refuses an address that contains a user and a password. */
function addressOf(url) {
  const address = new URL(url);
  const { username, password } = address;
  const headers = { accept: ACCEPT, 'user-agent': 'node-instances-communication/feed' };
  if (username || password) {
    const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    headers.authorization = `Basic ${Buffer.from(user).toString('base64')}`;
  }
  address.username = '';
  address.password = '';
  return { href: address.href, headers };
}

async function read(body, maxBytes) {
  const chunks = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The validators for the next request. */
function validators(headers) {
  const etag = headers.get('etag') ?? '';
  const lastModified = headers.get('last-modified') ?? '';
  // Two changes within a second have the same Last-Modified, so it is unreliable until that second is long over.
  const age = Date.parse(headers.get('date')) - Date.parse(lastModified);
  return {
    etag: /^[\x20-\x7e]{1,1000}$/.test(etag) ? etag : undefined,
    lastModified: age >= 2000 ? lastModified : undefined,
  };
}

function refusal({ status, headers }) {
  const expected = status === 304 ? '200, as nothing was known of it' : '200';
  const error = new Error(`it answered ${status}, expected ${expected}`);
  const text = headers.get('retry-after') ?? '';
  const now = Date.parse(headers.get('date')) || Date.now();
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  if (wait > 0) error.retryAfterMs = Math.min(wait, MAX_RETRY_AFTER_MS);
  return error;
}

/** The message of fetch is only "fetch failed". */
function withCause(error) {
  const { cause } = error;
  const reason = cause?.message || cause?.code;
  return reason ? new Error(`${error.message}: ${reason}`, { cause }) : error;
}
