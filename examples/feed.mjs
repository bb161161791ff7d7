// Each new entry of a feed becomes a message { id, title, url, publishedAt }, once.
//
//   URL=https://example.org/feed.xml TASK=examples/feed.mjs npm start
//
// The feed is JSON Feed, a plain JSON array, RSS or Atom, and is requested every EVERY_MS milliseconds. The cursor is
// what has been seen of it: hashes of the ids of its current and recent entries, and the validators
// (ETag, Last-Modified) for the next request. So an entry that disappears and returns is not new, nor is one that moves.
// The files in feed/ belong to it, and sources/names.mjs.
//
// Several feeds, URL=https://a.example/feed,https://b.example/feed, are a source each, with its own generator and
// cursor. Their messages also have the name of their `source`.
//
// It needs the package fast-xml-parser: npm install fast-xml-parser (npm run setup has installed it in a checkout).
import { createHash } from 'node:crypto';
import { env } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { entriesOf } from './feed/document.mjs';
import { request } from './feed/request.mjs';
import { entryOf, nameSources, sourcesOf } from './sources/names.mjs';

const ENTRIES_PER_BATCH = 500;
/** Maximum number of remembered ids, and of entries in a feed. The cursor then has 150 kB. */
const MAX_REMEMBERED = 10_000;
const MAX_BACKOFF_MS = 15 * 60_000;
const LIMITS = { timeoutMs: 30_000, maxBytes: 10_000_000 };

const { feeds, everyMs } = readSettings();

export const sources = sourcesOf(feeds);

export async function* generate(context) {
  const { source } = context;
  const url = entryOf(feeds, source);
  for await (const { messages, cursor } of generateEntries({ ...context, url, everyMs, ...LIMITS })) {
    const named = source === undefined ? messages : messages.map((message) => ({ ...message, source }));
    yield { messages: named, cursor };
  }
}

export function handle({ title, url, publishedAt }, { logger }) {
  logger.info('new entry', { title, url, publishedAt });
}

/** What `generate` does. It never throws because of the server, since stepping down would not help. */
export async function* generateEntries({ cursor, signal, logger, url, everyMs, ...limits }) {
  let known = knownFrom(cursor, url);
  let failures = 0;
  while (!signal.aborted) {
    let pause = everyMs;
    let found;
    try {
      found = await lookAt(url, known, { signal, ...limits });
      if (failures > 0) logger.info('the feed can be read again', { failures });
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      pause = Math.max(backoff(failures, everyMs), error.retryAfterMs ?? 0);
      // Logged once: an outage can be long.
      const level = failures === 1 ? 'warn' : 'debug';
      logger[level]('the feed cannot be read: trying again', {
        error: brief(error),
        inMs: Math.round(pause),
      });
    }
    for (const batch of found === undefined ? [] : batchesOf(known, found)) {
      yield batch;
      known = batch.cursor;
    }
    await delay(pause, undefined, { signal }).catch(() => undefined);
  }
}

/** The entries of the feed, oldest first and each id once; undefined if nothing has changed. */
async function lookAt(url, known, options) {
  const response = await request(url, known, options);
  if (response === undefined) return undefined;
  const { etag, lastModified } = response;
  const entries = entriesOf(response.body, response.contentType, response.url);
  if (entries.length > MAX_REMEMBERED) {
    throw new Error(`it has ${entries.length} entries, expected at most ${MAX_REMEMBERED}`);
  }
  const byKey = new Map(oldestFirst(entries).map((entry) => [hashOf(entry.id), entry]));
  return { byKey, etag, lastModified };
}

/**
 * The new entries in batches, each with the ids seen once it is in the queue. Only the last one has the validators: a
 * generator that takes over before that must get the whole feed again.
 */
function* batchesOf(known, { byKey, etag, lastModified }) {
  const seen = new Set(known.seen);
  const fresh = [...byKey.keys()].filter((key) => !seen.has(key));
  const isOther = known.etag !== etag || known.lastModified !== lastModified;
  for (let from = 0; from < fresh.length || (from === 0 && isOther); from += ENTRIES_PER_BATCH) {
    const keys = fresh.slice(from, from + ENTRIES_PER_BATCH);
    for (const key of keys) seen.add(key);
    const isLast = from + ENTRIES_PER_BATCH >= fresh.length;
    // First the current entries of the feed, then the most recent ones.
    const here = [...byKey.keys()].filter((key) => seen.has(key));
    yield {
      messages: keys.map((key) => byKey.get(key)),
      cursor: {
        feed: known.feed,
        ...(isLast && { etag, lastModified }),
        seen: [...new Set([...here, ...known.seen])].slice(0, MAX_REMEMBERED),
      },
    };
  }
}

/**
 * Sorted by date. An entry without a date stays with the entry before it, and entries of the same time stay in the order
 * of the document, which is newest first unless its dates say otherwise.
 */
function oldestFirst(entries) {
  const times = entries
    .map(({ publishedAt }) => Date.parse(publishedAt))
    .filter((time) => !Number.isNaN(time));
  const steps = times.slice(1).map((time, index) => Math.sign(time - times[index]));
  const isOldestFirst = steps.reduce((sum, step) => sum + step, 0) > 0;
  let time = 0;
  return (isOldestFirst ? entries : entries.toReversed())
    .map((entry) => ({ entry, time: (time = Date.parse(entry.publishedAt ?? '') || time) }))
    .sort((a, b) => a.time - b.time)
    .map(({ entry }) => entry);
}

/** At least EVERY_MS, doubled with each failure in a row, with jitter, so that not all clients return at once. */
function backoff(failures, everyMs) {
  const most = Math.min(everyMs * 2 ** failures, Math.max(everyMs, MAX_BACKOFF_MS));
  return Math.max(everyMs, most * (0.5 + Math.random() / 2));
}

function hashOf(text) {
  return createHash('sha256').update(text).digest('base64url').slice(0, 12);
}

/** An error as one short line: a parser can quote the whole document. */
function brief({ message }) {
  return message.replace(/\s+/g, ' ').slice(0, 200);
}

function knownFrom(cursor, url) {
  const feed = hashOf(url);
  if (cursor === undefined) return { feed, seen: [] };
  if (!Array.isArray(cursor?.seen)) {
    const found = JSON.stringify(cursor);
    throw new Error(
      `the cursor ${found} is another task's, expected { seen, ... }: give this one a NAMESPACE`,
    );
  }
  // The validators of another server mean nothing to this one.
  return cursor.feed === feed ? cursor : { feed, seen: cursor.seen };
}

/** The settings in the environment, or an error that names everything that is wrong with them. */
function readSettings() {
  const { URL: url = '', EVERY_MS } = env;
  const problems = [];
  // An address can contain commas.
  const urls = url.split(/,(?=\s*https?:\/\/)/).map((each) => each.trim());
  if (!urls.every(isAddress)) {
    const found =
      url === '' ? 'not set' : JSON.stringify(url.slice(0, 200).replace(/\/\/[^/]*?@/g, '//***@'));
    problems.push(`URL is ${found}, expected the http or https address of a feed`);
  }
  const everyMs = EVERY_MS ? Number(/^\d+$/.exec(EVERY_MS)?.[0]) : 60_000;
  if (!(everyMs >= 1 && everyMs <= 2_147_483_647)) {
    const found = JSON.stringify(EVERY_MS.slice(0, 100));
    problems.push(`EVERY_MS is ${found}, expected a whole number of milliseconds from 1 to 2147483647`);
  }
  if (problems.length > 0) throw new Error(problems.join('; '));
  return { feeds: nameSources('URL', urls, labelOf), everyMs };
}

/** Without user, password and query, which often contains a key. */
function labelOf(url) {
  const { host, pathname } = new URL(url);
  return host + pathname;
}

function isAddress(text) {
  try {
    const { protocol, username, password } = new URL(text);
    // Throws on invalid percent-encoding.
    decodeURIComponent(username + password);
    return /^https?:$/.test(protocol);
  } catch {
    return false;
  }
}
