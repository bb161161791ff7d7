// Parses the document of a feed in any supported format; used by ../feed.mjs.
import { createHash } from 'node:crypto';

// The program itself does not need this package, so it is not installed with it.
const { XMLParser } = await import('fast-xml-parser').catch((cause) => {
  const remedy = 'run "npm install fast-xml-parser" where the task runs';
  throw new Error(`the feed example needs the package fast-xml-parser, which is not installed: ${remedy}`, {
    cause,
  });
});

/**
 * The entries of a JSON Feed, a plain JSON array, RSS or Atom, in document order, each with
 * `id`, `title`, `url` and `publishedAt`. Missing fields are null, but the id falls back to the address or a hash
 * of the whole entry.
 *
 * @param bytes the document as received; its Content-Type is not trusted for the format
 * @param base the base address for relative ones
 * @throws Error if it is not a feed
 */
export function entriesOf(bytes, contentType, base) {
  const text = textOf(bytes, contentType).trim();
  if (text === '') throw new Error('it is empty, expected JSON, RSS or Atom');
  if (text[0] === '<') return xmlEntries(text, base);
  if (text[0] === '[' || text[0] === '{') return jsonEntries(text, base);
  throw new Error(`it begins with ${JSON.stringify(text.slice(0, 20))}, expected JSON, RSS or Atom`);
}

function textOf(bytes, contentType) {
  const wide = wideEncodingOf(bytes);
  if (wide !== undefined) return new TextDecoder(wide).decode(bytes);
  // Valid UTF-8 is UTF-8, whatever the declaration says. An escape character indicates a 7-bit encoding.
  if (!bytes.includes(0x1b)) {
    const text = decoded(bytes, 'utf-8', { fatal: true });
    if (text !== undefined) return text;
  }
  const start = Buffer.from(bytes.subarray(0, 200)).toString('latin1');
  const declared = [
    /charset\s*=\s*["']?([^\s"';]+)/i.exec(contentType)?.[1],
    /^\s*<\?xml[^>]*?\bencoding\s*=\s*["']([^"']+)/.exec(start)?.[1],
  ];
  for (const label of declared) {
    const text = label && decoded(bytes, label);
    if (text) return text;
  }
  return new TextDecoder().decode(bytes);
}

function decoded(bytes, label, options) {
  try {
    return new TextDecoder(label, options).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Detected by the byte order mark, or by the zero byte next to the ASCII character that starts every document. */
function wideEncodingOf([first, second]) {
  if ((first === 0xff && second === 0xfe) || second === 0) return 'utf-16le';
  if ((first === 0xfe && second === 0xff) || first === 0) return 'utf-16be';
  return undefined;
}

function jsonEntries(text, base) {
  const document = JSON.parse(text);
  const items = Array.isArray(document) ? document : document.items;
  if (!Array.isArray(items)) throw new Error('it is JSON without items, expected a JSON Feed or an array');
  return items.filter(saysSomething).map((item) =>
    entry(item, base, {
      // A number that JavaScript cannot distinguish from the next one is not an id.
      id: Number.isSafeInteger(item.id) ? String(item.id) : item.id,
      title: item.title,
      urls: [item.url, item.external_url, item.link],
      date: item.date_published ?? item.publishedAt,
    }),
  );
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  htmlEntities: true,
  jPath: false,
  // Entities that a document declares must not expand without limit. The parser refuses external ones.
  processEntities: { maxTotalExpansions: 1000, maxExpandedLength: 100_000, appliesTo: 'external' },
});

function xmlEntries(text, base) {
  const document = parser.parse(text, true);
  const name = Object.keys(document).find((key) => !key.startsWith('?'));
  const root = document[name];
  const [, prefix = '', kind] = /^([\w-]+:)?(rss|RDF|feed)$/.exec(name) ?? [];
  if (kind === undefined) throw new Error(`it begins with <${name}>, expected <rss>, <rdf:RDF> or <feed>`);
  if (kind === 'feed') {
    const items = all(root, `${prefix}entry`).filter(saysSomething);
    return items.map((item) => atomEntry(item, prefix, root, base));
  }
  // RSS 1.0 has its items next to the channel.
  const items = [root, ...all(root, 'channel')].flatMap((each) => all(each, 'item'));
  return items.filter(saysSomething).map((item) => rssEntry(item, base));
}

function rssEntry(item, base) {
  const [guid] = all(item, 'guid');
  const id = plain(guid) || plain(item['@rdf:about']);
  const isAddress = guid?.['@isPermaLink'] !== 'false' && /^https?:/i.test(id);
  return entry(item, base, {
    id,
    title: plain(item.title),
    urls: [plain(item.link), isAddress ? id : undefined],
    date: plain(item.pubDate) || plain(item['dc:date']),
  });
}

function atomEntry(item, prefix, feed, base) {
  for (const nearer of [feed['@xml:base'], item['@xml:base']]) base = absolute(nearer, base) ?? base;
  const links = all(item, `${prefix}link`).filter(({ '@rel': rel = 'alternate' }) => rel === 'alternate');
  return entry(item, base, {
    id: plain(item[`${prefix}id`]),
    title: plain(item[`${prefix}title`]),
    urls: links.map((link) => link['@href']),
    date: plain(item[`${prefix}published`]) || plain(item[`${prefix}updated`]),
  });
}

function entry(item, base, { id, title, urls, date }) {
  const url = urls.map((address) => absolute(address, base)).find((found) => found !== undefined) ?? null;
  const hash = () => `sha256:${createHash('sha256').update(JSON.stringify(item)).digest('hex')}`;
  return { id: plain(id) || url || hash(), title: plain(title) || null, url, publishedAt: isoDate(date) };
}

function saysSomething(item) {
  return typeof item === 'object' && item !== null && Object.keys(item).length > 0;
}

/** The children of that name: none, one or many. */
function all(node, name) {
  return [node?.[name] ?? []].flat();
}

/** The text of an element, including nested elements, or of a JSON value; empty if it is not text. */
function plain(node) {
  if (Array.isArray(node)) return plain(node[0]);
  if (typeof node === 'string') return node.replace(/\s+/g, ' ').trim();
  if (typeof node !== 'object' || node === null) return '';
  const inside = Object.keys(node).filter((name) => !name.startsWith('@') && name !== '#text');
  return plain(['#text', ...inside].flatMap((name) => all(node, name).map(plain)).join(' '));
}

function absolute(address, base) {
  if (typeof address !== 'string' || address.trim() === '') return undefined;
  try {
    const { protocol, href } = new URL(address.trim(), base);
    return /^https?:$/.test(protocol) ? href : undefined;
  } catch {
    return undefined;
  }
}

const ISO_DATE = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/i;
const MAIL_DATE =
  /^(?:[a-z]{3,9},? )?\d{1,2} [a-z]{3,9} \d{2,4} \d{1,2}:\d\d(?::\d\d)?(?: ([a-z]{1,4}|[+-]\d{4}))?$/i;

/** Only formats that feeds use, since Date.parse accepts almost anything. Without a zone it is UTC. */
function isoDate(value) {
  const text = plain(value);
  const iso = ISO_DATE.exec(text);
  const found = iso ?? MAIL_DATE.exec(text);
  if (found === null) return null;
  const isComplete = found[1] !== undefined || !text.includes(':');
  const time = Date.parse(isComplete ? text : text + (iso ? 'Z' : ' GMT'));
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}
