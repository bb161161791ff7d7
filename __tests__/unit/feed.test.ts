import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { type FeedServer, startFeedServer } from '../helpers/feedServer';
import { type ModuleHost, openModuleHost } from '../helpers/moduleHost';
import { freePort } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const FEED = resolve('examples/feed.mjs');

interface Entry {
  id: string;
  title: string | null;
  url: string | null;
  publishedAt: string | null;
}
interface Cursor {
  feed: string;
  etag?: string;
  lastModified?: string;
  seen: string[];
}
interface Batch {
  messages: Entry[];
  cursor: Cursor;
}
interface Line {
  level: string;
  message: string;
  error?: string;
  inMs?: number;
}
type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

let host: ModuleHost;
let server: FeedServer;

beforeAll(async () => {
  host = await openModuleHost();
});
afterAll(() => host.close());
beforeEach(async () => {
  server = await startFeedServer((_, response) => response.end('[]'));
});
afterEach(() => server.stop());

/** Runs the feed task, which polls every 5 ms by default. */
async function open(more: object = {}, cursor?: Cursor) {
  const number = await host.run<number>('open', {
    module: FEED,
    env: { URL: server.url },
    name: 'generateEntries',
    cursor,
    more: { url: server.url, everyMs: 5, timeoutMs: 30_000, maxBytes: 10_000_000, ...more },
  });
  opened.push(number);
  return {
    next: () => host.run<Batch | undefined>('next', { number }),
    log: () => host.run<Line[]>('log', { number }),
    abort: () => host.run('abort', { number }),
  };
}
const opened: number[] = [];
afterEach(async () => {
  for (const number of opened.splice(0)) await host.run('abort', { number });
});

const idsOf = (batch: Batch | undefined) => batch?.messages.map(({ id }) => id);
const keyOf = (id: string) => createHash('sha256').update(id).digest('base64url').slice(0, 12);
const items = (...ids: (string | number)[]) => JSON.stringify(ids.map((id) => ({ id: String(id) })));
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
const send =
  (body: string | Buffer, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    response.writeHead(200, headers).end(body);

describe('the entries of', () => {
  const read = (body: string | Uint8Array, contentType = '', base = 'https://example.org/feeds/main') =>
    host.run<Entry[]>('call', {
      module: resolve('examples/feed/document.mjs'),
      name: 'entriesOf',
      args: [Buffer.from(body as string), contentType, base],
    });
  const none = { title: null, url: null, publishedAt: null };

  it('a JSON Feed', async () => {
    const feed = {
      version: 'https://jsonfeed.org/version/1.1',
      title: 'Feed',
      items: [
        {
          id: 'https://example.org/2',
          url: '/2',
          title: ' Two \n words',
          date_published: '2024-02-01T10:00:00+01:00',
        },
        { id: 1, external_url: 'http://other.example/1', content_text: 'no title' },
      ],
    };
    expect(await read(JSON.stringify(feed))).toEqual([
      {
        id: 'https://example.org/2',
        title: 'Two words',
        url: 'https://example.org/2',
        publishedAt: '2024-02-01T09:00:00.000Z',
      },
      { ...none, id: '1', url: 'http://other.example/1' },
    ]);
  });

  it('a plain JSON array, with field names of JSON Feed or of a message', async () => {
    const message = {
      id: 'a',
      title: 'A',
      url: 'https://example.org/a',
      publishedAt: '2024-02-01T09:00:00.000Z',
    };
    expect(await read(JSON.stringify([message, { link: 'https://example.org/b' }]))).toEqual([
      message,
      { ...none, id: 'https://example.org/b', url: 'https://example.org/b' },
    ]);
  });

  it('RSS 2.0', async () => {
    const feed = `<?xml version="1.0"?>
      <rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/">
      <channel><title>Feed</title><atom:link href="self" rel="self"/><image><title>no entry</title></image>
      <item><title>Q &amp; A&#8217;s&nbsp;&lt;b&gt;</title><link>/1</link><guid isPermaLink="false">007</guid>
        <pubDate>Sat, 07 Sep 2002 00:00:01 EST</pubDate><media:title>another</media:title></item>
      <item><title><![CDATA[ <b>&amp;</b> ]]></title><guid>https://example.org/2</guid></item>
      <item><title>3</title><link> https://example.org/3 </link></item>
      </channel></rss>`;
    expect(await read(feed)).toEqual([
      {
        id: '007',
        title: 'Q & A’s <b>',
        url: 'https://example.org/1',
        publishedAt: '2002-09-07T05:00:01.000Z',
      },
      { ...none, id: 'https://example.org/2', title: '<b>&amp;</b>', url: 'https://example.org/2' },
      { ...none, id: 'https://example.org/3', title: '3', url: 'https://example.org/3' },
    ]);
  });

  it('RSS 1.0', async () => {
    const feed = `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
      <channel rdf:about="https://example.org/"><title>Feed</title></channel>
      <item rdf:about="urn:1"><title>One</title><link>https://example.org/1</link><dc:date>2024-02-01</dc:date></item>
      </rdf:RDF>`;
    expect(await read(feed)).toEqual([
      { id: 'urn:1', title: 'One', url: 'https://example.org/1', publishedAt: '2024-02-01T00:00:00.000Z' },
    ]);
  });

  it.each(['', 'atom:'])('Atom, its names beginning with "%s"', async (p) => {
    const feed = `<${p}feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://example.org/posts/">
      <${p}title>Feed</${p}title><${p}id>urn:feed</${p}id>
      <${p}entry><${p}id>urn:1</${p}id><${p}title type="xhtml"><div>Hi <b>there</b></div></${p}title>
        <${p}link rel="edit" href="edit"/><${p}link href="1"/>
        <${p}updated>2024-02-02T00:00:00Z</${p}updated><${p}published>2024-02-01T00:00:00Z</${p}published></${p}entry>
      <${p}entry xml:base="old/"><${p}id>urn:2</${p}id><${p}title>Two</${p}title><${p}link rel="alternate" href="2"/>
        <${p}updated>2024-02-02T00:00:00Z</${p}updated></${p}entry>
      </${p}feed>`;
    expect(await read(feed)).toEqual([
      {
        id: 'urn:1',
        title: 'Hi there',
        url: 'https://example.org/posts/1',
        publishedAt: '2024-02-01T00:00:00.000Z',
      },
      {
        id: 'urn:2',
        title: 'Two',
        url: 'https://example.org/posts/old/2',
        publishedAt: '2024-02-02T00:00:00.000Z',
      },
    ]);
  });

  it.each([
    ['an empty array', '[]'],
    ['an empty JSON Feed', '{"items":[]}'],
    ['RSS without items', '<rss><channel><title>x</title></channel></rss>'],
    ['RSS without a channel', '<rss/>'],
    ['Atom without entries', '<feed xmlns="http://www.w3.org/2005/Atom"/>'],
    ['entries that say nothing', '[null,1,"text",{},[]]'],
    ['elements that say nothing', '<rss><channel><item/><item></item><item>text</item></channel></rss>'],
  ])('%s: none', async (_, body) => {
    expect(await read(body)).toEqual([]);
  });

  it('a feed whose entries have neither id nor address: known by what they say', async () => {
    const body =
      '[{"title":"a"},{"title":"b"},{"title":"a"},{"id":12345678901234567890,"title":"c"},{"id":{}}]';
    const ids = (await read(body)).map(({ id }) => id);
    expect(ids.every((id) => /^sha256:[0-9a-f]{64}$/.test(id))).toBe(true);
    expect(ids[0]).toBe(ids[2]);
    expect(new Set(ids).size).toBe(4);
    expect(await read(body)).toEqual(await read(body));
  });

  it.each([
    ['Sat, 07 Sep 2002 00:00:01 GMT', '2002-09-07T00:00:01.000Z'],
    ['7 Sep 02 00:00 +0200', '2002-09-06T22:00:00.000Z'],
    ['Sat, 07 Sep 2002 00:00:01', '2002-09-07T00:00:01.000Z'],
    ['2024-02-01T10:00:00.123456+05:30', '2024-02-01T04:30:00.123Z'],
    ['2024-02-01T10:00:00', '2024-02-01T10:00:00.000Z'],
    ['2024-02-01 10:00', '2024-02-01T10:00:00.000Z'],
    ['2024-02-01', '2024-02-01T00:00:00.000Z'],
    // Date.parse would accept these.
    ['entry 5', null],
    ['5', null],
    ['Sat, 07 Sep 2002 25:00:00 GMT', null],
    ['2024-13-01T00:00:00Z', null],
    ['Sat, 07 Sep 2002 00:00:01 CET', null],
    ['+275760-09-13', null],
    ['yesterday', null],
  ])('parses a date like %s', async (text, expected) => {
    const [entry] = await read(JSON.stringify([{ id: '1', date_published: text }]));
    expect(entry!.publishedAt).toBe(expected);
  });

  it.each(['javascript:alert(1)', 'mailto:a@example.org', 'http://', 'data:text/html,x', ' '])(
    'ignores an address like %j',
    async (url) => {
      expect(await read(JSON.stringify([{ id: '1', url }]))).toEqual([{ ...none, id: '1' }]);
    },
  );

  const titled = (title: string) =>
    `<rss><channel><item><guid>1</guid><title>${title}</title></item></channel></rss>`;
  const rss = (title: string, declared = '') => `<?xml version="1.0"${declared}?>${titled(title)}`;
  const utf16 = (text: string, order: 'le' | 'be') => {
    const bytes = Buffer.from(text, 'utf16le');
    return order === 'le' ? bytes : bytes.swap16();
  };
  it.each<[string, Buffer, string, string]>([
    ['UTF-8', Buffer.from(rss('é日🙂')), 'text/xml', 'é日🙂'],
    [
      'UTF-8 with a byte order mark',
      Buffer.from(`\ufeff${rss('é日🙂')}`),
      'text/xml; charset=iso-8859-1',
      'é日🙂',
    ],
    ['UTF-8 that is declared something else', Buffer.from(rss('é日')), 'text/xml; charset=iso-8859-1', 'é日'],
    ['Latin-1 by Content-Type', Buffer.from(rss('é'), 'latin1'), 'text/xml; charset="ISO-8859-1"', 'é'],
    [
      'Latin-1 by the XML declaration',
      Buffer.from(rss('é', ' encoding="iso-8859-1"'), 'latin1'),
      'text/xml',
      'é',
    ],
    [
      'Windows-1251 by the XML declaration, in single quotes',
      Buffer.from(rss('\xcf\xf0\xe8\xe2\xe5\xf2', " encoding='windows-1251'"), 'latin1'),
      '',
      'Привет',
    ],
    [
      'Shift_JIS by Content-Type',
      Buffer.from(rss('\x93\xfa\x96\x7b', ' encoding="utf-8"'), 'latin1'),
      'text/xml; charset=Shift_JIS',
      '日本',
    ],
    [
      'ISO-2022-JP, which is all ASCII',
      Buffer.from(rss('\x1b$BF|K\\\x1b(B', ' encoding="ISO-2022-JP"'), 'latin1'),
      '',
      '日本',
    ],
    ['UTF-16LE with a byte order mark', utf16(`\ufeff${rss('é日', ' encoding="utf-16"')}`, 'le'), '', 'é日'],
    ['UTF-16BE with a byte order mark', utf16(`\ufeff${rss('é日')}`, 'be'), 'text/xml; charset=utf-8', 'é日'],
    ['UTF-16LE without one', utf16(rss('é日'), 'le'), '', 'é日'],
    ['UTF-16BE JSON without one', utf16('[{"id":"1","title":"é日"}]', 'be'), '', 'é日'],
    ['an encoding that nobody knows', Buffer.from(rss('\xe9', ' encoding="x-y"'), 'latin1'), '', '\ufffd'],
    ['UTF-8 that says it is UTF-16', Buffer.from(rss('é', ' encoding="utf-16"')), '', 'é'],
  ])('%s', async (_, body, contentType, title) => {
    expect((await read(body, contentType))[0]!.title).toBe(title);
  });

  it.each<[string, string, RegExp]>([
    ['nothing', '', /^it is empty, expected JSON, RSS or Atom$/],
    ['spaces', ' \n ', /^it is empty/],
    ['words', 'Service unavailable', /^it begins with "Service unavailable", expected/],
    [
      'HTML',
      '<!DOCTYPE html><html><head></head><body></body></html>',
      /^it begins with <html>, expected <rss>/,
    ],
    ['HTML that is no XML', '<html><body><p>1<br>2</body></html>', /./],
    ['another XML', '<opml><body/></opml>', /^it begins with <opml>/],
    ['an object', '{"error":"no"}', /^it is JSON without items/],
    ['a JSON Feed cut short', '{"items":[{"id":"1"},{"id"', /JSON/],
    ['RSS cut short', '<rss><channel><item><guid>1</guid></item><item>', /./],
    ['RSS cut short in a tag', '<rss><channel><item><guid>1</guid></item><it', /./],
    ['RSS that is not well-formed', '<rss><channel><item>a & b</item></channel></rss>', /./],
  ])('%s is refused', async (_, body, message) => {
    await expect(read(body)).rejects.toThrow(message);
  });

  it.each<[string, string]>([
    [
      'a bomb of nested entities',
      `<!DOCTYPE x [<!ENTITY a "ha">${range(1, 30)
        .map((n) => `<!ENTITY a${n} "${`&a${n - 1 || ''};`.repeat(10)}">`)
        .join('')}]>${titled('&a30;')}`,
    ],
    [
      'a bomb of one long entity',
      `<!DOCTYPE x [<!ENTITY a "${'a'.repeat(9000)}">]><rss><channel>${'<item><title>&a;&a;&a;&a;&a;</title></item>'.repeat(20_000)}</channel></rss>`,
    ],
    ['an entity that is a file', `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>${titled('&a;')}`],
    [
      'a parameter entity from elsewhere',
      `<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;]>${titled('x')}`,
    ],
    ['a type definition that is a file', `<!DOCTYPE rss SYSTEM "file:///etc/passwd">${titled('x')}`],
    ['elements 100,000 deep', `<rss>${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}</rss>`],
    ['arrays 1,000,000 deep', `[{"id":"1","title":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}]`],
    [
      'names of prototypes',
      '<rss><channel><item><__proto__><polluted>1</polluted></__proto__></item></channel></rss>',
    ],
    [
      'names of prototypes in JSON',
      '[{"id":"1","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}]',
    ],
  ])('%s does no harm', async (_, body) => {
    const entries = await read(body).catch((error: Error) => {
      expect(error.message).not.toContain('root:');
      return [];
    });
    const text = JSON.stringify(entries);
    expect(text.length).toBeLessThan(1_000_000);
    expect(text).not.toContain('root:');
    expect((await read('[{"id":"2"}]'))[0]).toEqual({ ...none, id: '2' });
  });
});

describe('a feed that grows', () => {
  it('yields the new entries, oldest first, and sends the validators from the server', async () => {
    server.answer = send(items(3, 2, 1), {
      etag: 'W/"a b"',
      'last-modified': 'Sat, 07 Sep 2002 00:00:01 GMT',
    });
    const feed = await open();
    const batch = await feed.next();
    const none = { title: null, url: null, publishedAt: null };
    expect(batch!.messages).toEqual(['1', '2', '3'].map((id) => ({ id, ...none })));
    expect(batch!.cursor).toEqual({
      feed: keyOf(server.url),
      etag: 'W/"a b"',
      lastModified: 'Sat, 07 Sep 2002 00:00:01 GMT',
      seen: ['1', '2', '3'].map(keyOf),
    });
    const second = feed.next();
    await server.requested(2);
    server.answer = send(items(5, 4, 3), { etag: '"2"' });
    expect(idsOf(await second)).toEqual(['4', '5']);
    expect(server.requests[0]!.headers).not.toHaveProperty('if-none-match');
    expect(server.requests[1]!.headers).toMatchObject({
      'if-none-match': 'W/"a b"',
      'if-modified-since': 'Sat, 07 Sep 2002 00:00:01 GMT',
    });
  });

  it('commits nothing while it has not changed', async () => {
    server.answer = ({ headers }, response) => {
      if (headers['if-none-match'] === '"1"') response.writeHead(304).end();
      else send(items(1), { etag: '"1"' })({ headers } as IncomingMessage, response);
    };
    const feed = await open();
    expect(idsOf(await feed.next())).toEqual(['1']);
    const next = feed.next();
    await server.requested(5);
    expect(server.requests.slice(1).map(({ headers }) => headers['if-none-match'])).toEqual(
      Array(server.requests.length - 1).fill('"1"'),
    );
    server.answer = send(items(2, 1));
    // The same batch records that the feed no longer has an ETag.
    expect(await next).toMatchObject({ messages: [{ id: '2' }], cursor: { seen: ['1', '2'].map(keyOf) } });
    expect(await feed.log()).toEqual([]);
  });

  it('commits only the ETag if nothing else has changed', async () => {
    server.answer = send(items(1), { etag: '"1"' });
    const feed = await open();
    await feed.next();
    server.answer = send(items(1), { etag: '"2"' });
    expect(await feed.next()).toMatchObject({ messages: [], cursor: { etag: '"2"', seen: [keyOf('1')] } });
  });

  it('does not send a Last-Modified that several versions can share', async () => {
    const at = (ms: number) => new Date(ms).toUTCString();
    const now = Date.now();
    server.answer = send(items(1), { date: at(now), 'last-modified': at(now - 1000) });
    const feed = await open();
    expect(await feed.next()).toMatchObject({ cursor: { feed: keyOf(server.url), seen: [keyOf('1')] } });
    const next = feed.next();
    await server.requested(3);
    server.answer = send(items(1), { date: at(now + 1000), 'last-modified': at(now - 1000) });
    expect(await next).toMatchObject({ messages: [], cursor: { lastModified: at(now - 1000) } });
    expect(server.requests[2]!.headers).not.toHaveProperty('if-modified-since');
  });

  it('does not send a validator that is not a valid header value', async () => {
    server.answer = send(items(1), { etag: `"${'x'.repeat(2000)}"` });
    const feed = await open();
    expect((await feed.next())!.cursor).not.toHaveProperty('etag', expect.anything());
  });

  it('is sorted by the dates of its entries if there are any, otherwise by their position', async () => {
    const entry = (id: string, publishedAt?: string) => ({ id, publishedAt });
    const orders: [object[], string][] = [
      [[entry('c', '2024-01-03'), entry('b', '2024-01-02'), entry('a', '2024-01-01')], 'abc'],
      [[entry('a', '2024-01-01'), entry('b', '2024-01-02'), entry('c', '2024-01-03')], 'abc'],
      [[entry('b', '2024-01-02'), entry('c', '2024-01-03'), entry('a', '2024-01-01')], 'abc'],
      [[entry('c'), entry('b'), entry('a')], 'abc'],
      [[entry('c', '2024-01-01'), entry('b', '2024-01-01'), entry('a', '2024-01-01')], 'abc'],
      // An entry without a date stays with the previous entry.
      [[entry('d', '2024-01-03'), entry('c'), entry('b', '2024-01-02'), entry('a')], 'abcd'],
      [[entry('a', '2024-01-01'), entry('b'), entry('c', '2024-01-02'), entry('d', 'never')], 'abcd'],
      [[entry('b', '2099-01-01'), entry('a', '1969-01-01')], 'ab'],
    ];
    for (const [entries, expected] of orders) {
      server.answer = send(JSON.stringify(entries));
      const feed = await open();
      expect(idsOf(await feed.next())!.join('')).toBe(expected);
      await feed.abort();
    }
  });

  it('yields an entry with a repeated id once, in its newest form', async () => {
    server.answer = send(
      '[{"id":"1","title":"new"},{"id":"2"},{"id":"1","title":"old"},{"title":"x"},{"title":"x"}]',
    );
    const feed = await open();
    const { messages } = (await feed.next())!;
    expect(messages.map(({ id, title }) => id.slice(0, 3) + title)).toEqual(['shax', '1new', '2null']);
  });

  it('yields each entry once although it hides, reorders and shows entries again and generators change', async () => {
    const windows = fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 8 }), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(windows, fc.infiniteStream(fc.boolean()), async (shown, restarts) => {
        const found: string[] = [];
        let feed = await open();
        let cursor: Cursor | undefined;
        for (const [index, ids] of shown.entries()) {
          // Each response has its own ETag and so yields a batch.
          server.answer = send(items(...ids), { etag: `"${server.requests.length} ${index}"` });
          const batch = (await feed.next())!;
          found.push(...idsOf(batch)!);
          // As it is read back from Redis.
          cursor = JSON.parse(JSON.stringify(batch.cursor)) as Cursor;
          if (!restarts.next().value) continue;
          await feed.abort();
          feed = await open({}, cursor);
        }
        await feed.abort();
        expect([...found].sort()).toEqual([...new Set(shown.flat().map(String))].sort());
        expect(new Set(cursor!.seen)).toEqual(new Set(found.map(keyOf)));
      }),
      { numRuns: 30 },
    );
  });

  it('sends the new ETag only when all batches of a large update are committed', async () => {
    server.answer = send(items(...range(1, 1200).reverse()), { etag: '"1"' });
    const feed = await open();
    const batches = [(await feed.next())!, (await feed.next())!, (await feed.next())!];
    expect(batches.map(({ messages }) => messages.length)).toEqual([500, 500, 200]);
    expect(batches.flatMap(idsOf)).toEqual(range(1, 1200).map(String));
    expect(batches.map(({ cursor }) => cursor.etag)).toEqual([undefined, undefined, '"1"']);
    expect(batches.map(({ cursor }) => cursor.seen.length)).toEqual([500, 1000, 1200]);
    await feed.abort();

    // A generator that takes over in between yields the rest.
    for (const done of [1, 2]) {
      const cursor = JSON.parse(JSON.stringify(batches[done - 1]!.cursor)) as Cursor;
      const next = await open({}, cursor);
      const rest: string[] = [];
      while (rest.length < 1200 - done * 500) rest.push(...idsOf(await next.next())!);
      expect(rest).toEqual(range(done * 500 + 1, 1200).map(String));
      await next.abort();
    }
  });

  it('is remembered up to 10,000 entries: current entries first, then the most recent ones', async () => {
    server.answer = send(items(...range(1, 9000)), { etag: '"1"' });
    const feed = await open();
    let last: Batch | undefined;
    for (let batch = 0; batch < 18; batch++) last = await feed.next();
    server.answer = send('[]', { etag: '"2"' });
    expect((await feed.next())!.cursor.seen).toEqual(last!.cursor.seen);
    server.answer = send(items(...range(8001, 11_000)), { etag: '"3"' });
    const batches = [];
    for (let batch = 0; batch < 4; batch++) batches.push((await feed.next())!);
    expect(
      batches
        .flatMap(idsOf)
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual(range(9001, 11_000));
    const { seen } = batches.at(-1)!.cursor;
    expect(seen).toHaveLength(10_000);
    expect(new Set(seen.slice(0, 3000))).toEqual(new Set(range(8001, 11_000).map(String).map(keyOf)));
    expect(JSON.stringify(seen).length).toBeLessThanOrEqual(150_001);
  });
});

describe('a failing server is retried, logged once, and all its entries arrive when it is back', () => {
  const many = items(...range(1, 2000));
  const faults: [string, Answer, RegExp][] = [
    ['answers 500', (_, response) => response.writeHead(500).end('oops'), /^it answered 500, expected 200$/],
    ['answers 404', (_, response) => response.writeHead(404).end(items(9)), /^it answered 404/],
    ['answers 204', (_, response) => response.writeHead(204).end(), /^it answered 204/],
    ['answers a part', (_, response) => response.writeHead(206).end(items(9)), /^it answered 206/],
    ['answers that nothing has changed', (_, response) => response.writeHead(304).end(), /^it answered 304/],
    ['answers nothing', (_, response) => response.end(), /^it is empty/],
    ['answers with HTML', send('<!doctype html><p>Welcome', { 'content-type': 'application/json' }), /./],
    ['answers with words', send('x'.repeat(5000)), /^it begins with "x{20}"/],
    ['answers with half of the JSON', send(many.slice(0, 5000)), /JSON/],
    ['hangs up at once', (_, response) => response.destroy(), /fetch failed: .+/],
    ['speaks something else', (request) => request.socket.end('SSH-2.0\r\n'), /fetch failed: .+/],
    [
      'hangs up in the middle of a length',
      (_, response) => {
        response.writeHead(200, { 'content-length': many.length });
        response.write(many.slice(0, 100), () => response.destroy());
      },
      /./,
    ],
    [
      'hangs up in the middle of a chunk',
      (_, response) => response.write(items(1), () => response.destroy()),
      /./,
    ],
    [
      'compresses and then does not',
      send(Buffer.concat([gzipSync(many).subarray(0, 200), Buffer.from('x'.repeat(500))]), {
        'content-encoding': 'gzip',
      }),
      /./,
    ],
    [
      'redirects in a circle',
      (_, response) => response.writeHead(302, { location: '/feed' }).end(),
      /redirect/,
    ],
    [
      'redirects to a file',
      (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      /./,
    ],
    ['redirects nowhere', (_, response) => response.writeHead(302).end(), /./],
    ['stalls before its answer', () => undefined, /^it took longer than 200 ms$/],
    [
      'stalls in its answer',
      (_, response) => response.writeHead(200, { 'content-length': 9 }).write('['),
      /^it took longer than 200 ms$/,
    ],
    [
      'drips',
      (_, response) => {
        const timer = setInterval(() => response.write(' '), 10);
        response.on('close', () => clearInterval(timer));
      },
      /^it took longer than 200 ms$/,
    ],
    [
      'says that it is huge',
      (_, response) => response.writeHead(200, { 'content-length': 1e12 }).write('['),
      /./,
    ],
    ['is huge', send('['.repeat(200_000)), /^it has more than 100000 bytes$/],
    [
      'is huge once it is unpacked',
      send(gzipSync('['.repeat(10_000_000)), { 'content-encoding': 'gzip' }),
      /^it has more than 100000 bytes$/,
    ],
  ];

  it.each(faults)('if it %s', async (_, fault, reason) => {
    server.answer = fault;
    const feed = await open({ timeoutMs: 200, maxBytes: 100_000 });
    const next = feed.next();
    await waitFor(async () => (await feed.log()).length >= 2, 'two failures');
    server.answer = send(items(2, 1));
    expect(idsOf(await next)).toEqual(['1', '2']);
    const [first, ...others] = await feed.log();
    expect(first).toMatchObject({ level: 'warn', message: 'the feed cannot be read: trying again' });
    expect(first!.error).toMatch(reason);
    expect(first!.error!.length).toBeLessThanOrEqual(200);
    expect(first!.error).not.toContain('\n');
    expect(others.pop()).toEqual({
      level: 'info',
      message: 'the feed can be read again',
      failures: others.length + 1,
    });
    expect(others.every(({ level, message }) => level === 'debug' && message === first!.message)).toBe(true);
  });

  it('if it is not running yet', async () => {
    const port = await freePort();
    const feed = await open({ url: `http://127.0.0.1:${port}/` });
    void feed.next();
    const [line] = await waitFor(async () => (await feed.log()).length > 0 && feed.log(), 'a warning');
    expect(line).toMatchObject({
      level: 'warn',
      error: expect.stringMatching(/^fetch failed: .*ECONNREFUSED/) as string,
    });
  });

  it('if it has too many entries', async () => {
    server.answer = send(items(...range(1, 10_001)));
    const feed = await open();
    void feed.next();
    const [line] = await waitFor(async () => (await feed.log()).length > 0 && feed.log(), 'a warning');
    expect(line!.error).toBe('it has 10001 entries, expected at most 10000');
  });

  it('and the next outage is logged again', async () => {
    server.answer = (_, response) => response.writeHead(500).end();
    const feed = await open();
    let next = feed.next();
    await server.requested(2);
    server.answer = send(items(1));
    expect(idsOf(await next)).toEqual(['1']);
    server.answer = (_, response) => response.writeHead(500).end();
    next = feed.next();
    await waitFor(
      async () => (await feed.log()).filter(({ level }) => level === 'warn').length === 2,
      'a warning',
    );
    server.answer = send(items(2, 1));
    expect(idsOf(await next)).toEqual(['2']);
  });

  it('with growing delays between EVERY_MS and a quarter of an hour', async () => {
    server.answer = (_, response) => response.writeHead(500).end();
    const feed = await open({ everyMs: 4 });
    void feed.next();
    const lines = await waitFor(async () => (await feed.log()).length >= 7 && feed.log(), 'seven failures');
    lines.slice(0, 7).forEach(({ inMs }, index) => {
      expect(inMs).toBeGreaterThanOrEqual(Math.max(4, 4 * 2 ** index));
      expect(inMs).toBeLessThanOrEqual(4 * 2 ** (index + 1));
    });
    await feed.abort();

    const seldom = await open({ everyMs: 800_000 });
    void seldom.next();
    const [line] = await waitFor(async () => (await seldom.log()).length > 0 && seldom.log(), 'a failure');
    expect(line!.inMs).toBeGreaterThanOrEqual(800_000);
    expect(line!.inMs).toBeLessThanOrEqual(900_000);
  });

  it.each<[string, Record<string, string>, number]>([
    ['seconds', { 'retry-after': '120' }, 120_000],
    [
      'a date, by the clock of the server',
      { 'retry-after': 'Sat, 07 Sep 2002 00:03:00 GMT', date: 'Sat, 07 Sep 2002 00:00:00 GMT' },
      180_000,
    ],
    ['a year, of which a day counts', { 'retry-after': '31536000' }, 86_400_000],
    ['no time at all', { 'retry-after': '0' }, 0],
    ['a date that is over', { 'retry-after': 'Sat, 07 Sep 2002 00:03:00 GMT' }, 0],
    ['nonsense', { 'retry-after': 'soon' }, 0],
    ['less than nothing', { 'retry-after': '-5' }, 0],
  ])('after %s if it asks for a delay', async (_, headers, expected) => {
    server.answer = (_request, response) => response.writeHead(429, headers).end();
    const feed = await open();
    void feed.next();
    const [line] = await waitFor(async () => (await feed.log()).length > 0 && feed.log(), 'a failure');
    if (expected === 0) expect(line!.inMs).toBeLessThanOrEqual(10);
    else expect(line!.inMs).toBe(expected);
  });

  it('after the requested delay has really passed', async () => {
    server.answer = (_, response) => response.writeHead(503, { 'retry-after': '1' }).end();
    const feed = await open();
    const next = feed.next();
    await server.requested(1);
    server.answer = send(items(1));
    await next;
    expect(server.requests[1]!.at - server.requests[0]!.at).toBeGreaterThan(990);
  });
});

describe('a request', () => {
  it('follows redirects, and resolves relative addresses against the final address', async () => {
    server.answer = ({ url }, response) => {
      if (url === '/feed') response.writeHead(301, { location: '/new/place' }).end();
      else response.end('[{"id":"1","url":"entry"}]');
    };
    const feed = await open();
    expect((await feed.next())!.messages[0]!.url).toBe(server.url.replace('/feed', '/new/entry'));
  });

  it('uses the user and the password of the address, and does not reveal them', async () => {
    const other = await startFeedServer((_, response) => response.end('[{"id":"1","url":"a"}]'));
    try {
      server.answer = (_, response) => response.writeHead(302, { location: other.url }).end();
      const url = server.url.replace('//', '//an%20n:s%C3%A9same@');
      const feed = await open({ url });
      const batch = await feed.next();
      const authorization = `Basic ${Buffer.from('an n:sésame').toString('base64')}`;
      expect(server.requests[0]!.headers).toMatchObject({ authorization });
      expect(other.requests[0]!.headers).not.toHaveProperty('authorization');
      expect(JSON.stringify(batch)).not.toMatch(/same|%20n/);
    } finally {
      await other.stop();
    }
  });

  it('decompresses the response', async () => {
    server.answer = send(gzipSync(items(1)), { 'content-encoding': 'gzip' });
    expect(idsOf(await (await open()).next())).toEqual(['1']);
  });

  it.each<[string, Answer]>([
    ['before the answer', () => undefined],
    ['in the answer', (_, response) => response.writeHead(200, { 'content-length': 9 }).write('[')],
    ['between two answers', send('[]')],
    ['in a long back-off', (_, response) => response.writeHead(503, { 'retry-after': '3600' }).end()],
  ])('ends at once when its signal aborts, %s', async (_, answer) => {
    const closed = new Promise((resolve) => {
      server.answer = (request, response) => {
        response.on('close', resolve);
        return answer(request, response);
      };
    });
    const feed = await open({ everyMs: 3_600_000 });
    const next = feed.next();
    await server.requested(1);
    const abortedAt = performance.now();
    await feed.abort();
    expect(await next).toBeUndefined();
    await closed;
    expect(performance.now() - abortedAt).toBeLessThan(1000);
    // A stop is not an outage.
    expect((await feed.log()).filter(({ error }) => error !== 'it answered 503, expected 200')).toEqual([]);
  });

  it('closes a response that it does not need to read at once', async () => {
    const left = new Promise((resolve) => {
      server.answer = (_, response) => {
        response.on('close', resolve);
        response.writeHead(500).write('The beginning of a long story.');
      };
    });
    const feed = await open({ everyMs: 3_600_000 });
    void feed.next();
    await left;
  });

  it('drops the validators of another server, but keeps the entries seen', async () => {
    server.answer = send(items(2, 1), { etag: '"1"', 'last-modified': 'Sat, 07 Sep 2002 00:00:01 GMT' });
    const before = await open({ url: `${server.url}?moved` });
    const { cursor } = (await before.next())!;
    await before.abort();
    server.answer = send(items(3, 2, 1));
    const count = server.requests.length;
    const after = await open({}, cursor);
    expect(idsOf(await after.next())).toEqual(['3']);
    expect(server.requests[count]!.headers).not.toHaveProperty('if-none-match');
    expect(server.requests[count]!.headers).not.toHaveProperty('if-modified-since');
  });
});

describe('invalid settings', () => {
  it.each(['3', '"2024-05-01T00:00:00.000Z"', '{"number":3,"offset":20}', 'null', '[]', '{"seen":"x"}'])(
    'refuses the cursor %s of another task',
    async (json) => {
      const feed = await open({}, JSON.parse(json) as Cursor);
      await expect(feed.next()).rejects.toThrow(`the cursor ${json} is another task's`);
    },
  );

  const refusal = (env: Record<string, string>) =>
    host.run('open', { module: FEED, env: { URL: server.url, EVERY_MS: '', ...env } }).then(
      () => undefined,
      (error: Error) => error.message,
    );
  const ADDRESS = 'expected the http or https address of a feed';
  const EVERY = 'expected a whole number of milliseconds from 1 to 2147483647';

  it.each([
    [{ URL: '' }, `URL is not set, ${ADDRESS}`],
    [{ URL: 'example.org/feed' }, `URL is "example.org/feed", ${ADDRESS}`],
    [{ URL: 'ftp://ann:Sesame@example.org/' }, `URL is "ftp://***@example.org/", ${ADDRESS}`],
    [{ URL: 'http://ann:100%@example.org/' }, `URL is "http://***@example.org/", ${ADDRESS}`],
    [{ URL: 'http://' }, `URL is "http://", ${ADDRESS}`],
    [{ EVERY_MS: '0' }, `EVERY_MS is "0", ${EVERY}`],
    [{ EVERY_MS: '1.5' }, `EVERY_MS is "1.5", ${EVERY}`],
    [{ EVERY_MS: '2147483648' }, `EVERY_MS is "2147483648", ${EVERY}`],
    [{ URL: 'x', EVERY_MS: '1m' }, `URL is "x", ${ADDRESS}; EVERY_MS is "1m", ${EVERY}`],
  ])('%j', async (env, message) => {
    expect(await refusal(env)).toBe(message);
  });

  it('accepts intervals of a minute and a month', async () => {
    expect(await refusal({ EVERY_MS: '60000' })).toBeUndefined();
    expect(await refusal({ EVERY_MS: '2147483647' })).toBeUndefined();
  });
});

describe('several feeds', () => {
  const sourcesOf = (url: string) =>
    host.run<string[] | undefined>('sources', { module: FEED, env: { URL: url } });

  it('are a source each, named after host and path without secrets; a single feed has no source name', async () => {
    expect(
      await sourcesOf('https://a.example/feed.xml,https://me:Sesame@b.example:8080/?key=Sesame'),
    ).toEqual(['a_example_feed_xml', 'b_example_8080_']);
    expect(await sourcesOf('https://a.example/feed?only=1,2,3')).toBeUndefined();
    await expect(sourcesOf('https://a.example/,https://a.example/')).rejects.toThrow('URL lists 2 entries');
    await expect(sourcesOf('https://a.example/,http://me:Sesame@')).rejects.toThrow(
      'URL is "https://a.example/,http://***@", expected the http or https address of a feed',
    );
  });

  it('are each read by their own source, which their entries name', async () => {
    server.answer = send(items(1));
    const other = await startFeedServer(send(items(2)));
    try {
      const env = { URL: `${server.url},${other.url}`, EVERY_MS: '5' };
      const sources = await host.run<string[]>('sources', { module: FEED, env });
      const ids = [];
      for (const source of sources) {
        const number = await host.run<number>('open', { module: FEED, env, source });
        opened.push(number);
        const batch = await host.run<Batch>('next', { number });
        ids.push(batch.messages.map((message) => [message.id, (message as { source?: string }).source]));
      }
      expect(ids).toEqual([[['1', sources[0]]], [['2', sources[1]]]]);
      expect(sources.every((source) => source.startsWith('127_0_0_1_'))).toBe(true);
    } finally {
      await other.stop();
    }
  });
});
