import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { type ModuleHost, openModuleHost } from '../helpers/moduleHost';

const LINES = resolve('examples/lines.mjs');
const ACCESS_LOG = resolve('examples/accessLog.mjs');
/** 10,000 lines of a real log, if the machine has it. Line 8899 is truncated. */
const REAL_LOG = resolve('../shared/data/access.log');

interface Message {
  number: number;
  text: string;
  source?: string;
}
interface Cursor {
  number: number;
  offset: number;
}
interface Batch {
  messages: Message[];
  cursor: Cursor;
}

let host: ModuleHost;
let directory: string;
let file: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'nic-lines-'));
  file = join(directory, 'notes.txt');
  host = await openModuleHost();
});

afterAll(async () => {
  await host.close();
  rmSync(directory, { recursive: true, force: true });
});

const generate = (cursor?: Cursor, of = file, module = LINES) =>
  host.run<Batch[]>('generate', { module, file: of, cursor });

async function textsOf(content: string | Buffer): Promise<string[]> {
  writeFileSync(file, content);
  const messages = (await generate()).flatMap((batch) => batch.messages);
  expect(messages.map(({ number }) => number)).toEqual(messages.map((_, index) => index + 1));
  return messages.map(({ text }) => text);
}

/** Splits a text into lines, in a different way from the example. */
function linesOf(text: string): string[] {
  const lines = text.split('\n');
  const last = lines.pop()!;
  const ended = lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  return last === '' ? ended : [...ended, last];
}

describe('the lines of a file', () => {
  it.each<[string, string, string[]]>([
    ['with \\n', 'a\nb\n', ['a', 'b']],
    ['with \\r\\n', 'a\r\nb\r\n', ['a', 'b']],
    ['with both', 'a\r\nb\nc\r\n', ['a', 'b', 'c']],
    ['of an empty file', '', []],
    ['of one line end', '\n', ['']],
    ['without a line end at the end', 'a\nb', ['a', 'b']],
    ['without any line end', 'a', ['a']],
    ['that are blank', '\n\na\n\r\n\n', ['', '', 'a', '', '']],
    ['with a return inside', 'a\rb\r\r\nc\r', ['a\rb\r', 'c\r']],
    ['with spaces and tabs around', ' a \n\tb\t\n', [' a ', '\tb\t']],
    ['with other separators of Unicode', 'a\u2028b\u0085c\u000bd\n', ['a\u2028b\u0085c\u000bd']],
    ['with a null', 'a\u0000b\n', ['a\u0000b']],
  ])('%s', async (_, content, lines) => {
    expect(linesOf(content)).toEqual(lines);
    expect(await textsOf(content)).toEqual(lines);
  });

  it.each([
    ['é', 2],
    ['日', 3],
    ['🙂', 4],
  ])('are intact if %s spans two chunks', async (character, bytes) => {
    for (let before = 0; before <= bytes; before++) {
      const first = 'x'.repeat(64 * 1024 - before) + character.repeat(3);
      expect(await textsOf(`${first}\nnext ${character}\n`)).toEqual([first, `next ${character}`]);
    }
  });

  it('are split if their end spans two chunks', async () => {
    for (const end of ['\n', '\r\n']) {
      for (let before = 0; before <= 2; before++) {
        const first = 'x'.repeat(64 * 1024 - before);
        expect(await textsOf(`${first}${end}next${end}`)).toEqual([first, 'next']);
      }
    }
  });

  it('can be longer than any chunk and any batch', async () => {
    const long = 'für 日本🙂'.repeat(340_000);
    expect(Buffer.byteLength(long)).toBeGreaterThan(5_000_000);
    expect(await textsOf(`before\n${long}\r\nafter`)).toEqual(['before', long, 'after']);
  });

  it('are still lines if they are not UTF-8', async () => {
    expect(await textsOf(Buffer.from([0xff, 0x61, 10, 0xc3, 10, 0x62]))).toEqual(['\ufffda', '\ufffd', 'b']);
  });
});

describe('resuming', () => {
  it('from any cursor yields the same as reading the whole file', async () => {
    const line = fc.tuple(
      fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('', '\r', 'a\rb', '🙂é')),
      fc.constantFrom('\n', '\r\n'),
    );
    const content = fc
      .tuple(
        fc.array(line, { maxLength: 40 }),
        fc.integer({ min: 1, max: 60 }),
        fc.constantFrom('', 'end', 'end\r'),
      )
      .map(
        ([lines, times, end]) =>
          lines
            .map((parts) => parts.join(''))
            .join('')
            .repeat(times) + end,
      );

    await fc.assert(
      fc.asyncProperty(content, async (text) => {
        writeFileSync(file, text);
        const batches = await generate();
        const messages = batches.flatMap((batch) => batch.messages);
        expect(messages.map((message) => message.text)).toEqual(linesOf(text));
        for (const [index, { cursor }] of batches.entries()) {
          const rest = batches.slice(index + 1).flatMap((batch) => batch.messages);
          expect((await generate(cursor)).flatMap((batch) => batch.messages)).toEqual(rest);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('uses a cursor that survives JSON unchanged', async () => {
    writeFileSync(file, 'é\r\n'.repeat(1200));
    const batches = await generate();
    expect(batches.map(({ cursor }) => cursor)).toEqual([
      { number: 500, offset: 2000 },
      { number: 1000, offset: 4000 },
      { number: 1200, offset: 4800 },
    ]);
    expect(JSON.parse(JSON.stringify(batches))).toEqual(batches);
  });

  it('at the end of a file yields what has been appended since', async () => {
    writeFileSync(file, 'a\nb\n');
    const cursor = (await generate()).at(-1)!.cursor;
    expect(await generate(cursor)).toEqual([]);
    writeFileSync(file, 'a\nb\nc\n');
    expect((await generate(cursor)).flatMap((batch) => batch.messages)).toEqual([{ number: 3, text: 'c' }]);
  });
});

it('keeps batches to a few hundred lines and about a megabyte, however long the lines are', async () => {
  writeFileSync(file, `${'x'.repeat(300_000)}\n`.repeat(10) + 'y\n'.repeat(1100));
  const batches = await generate();
  expect(batches.flatMap(({ messages }) => messages)).toHaveLength(1110);
  for (const { messages } of batches) {
    expect(messages.length).toBeLessThanOrEqual(500);
    expect(Buffer.byteLength(messages.map(({ text }) => text).join(''))).toBeLessThan(1_300_000);
  }
});

describe('several files', () => {
  const sourcesOf = (FILE: string) =>
    host.run<string[] | undefined>('sources', { module: LINES, env: { FILE } });

  it('are a source each, named after the file; a single file has no source name', async () => {
    expect(await sourcesOf('a.log,/var/log/b-1.log')).toEqual(['a_log', 'b-1_log']);
    expect(await sourcesOf('a.log')).toBeUndefined();
    // Files added at the end do not change earlier names.
    const names = await sourcesOf('x/a.log,y/a.log,größe,größé');
    expect(names).toEqual(['a_log', expect.stringMatching(/^a_log-[0-9a-f]{8}$/), 'gr_e', 'gr_']);
    expect((await sourcesOf('x/a.log,y/a.log,größe,größé,z/a.log'))!.slice(0, 4)).toEqual(names);
    expect(await sourcesOf(`${'n'.repeat(64)},${'n'.repeat(65)}`)).toEqual([
      'n'.repeat(64),
      expect.stringMatching(/^n{55}-[0-9a-f]{8}$/),
    ]);
  });

  it.each(['a.log,', 'a.log,,b.log', 'a.log, a.log'])('are refused as %s', async (files) => {
    await expect(sourcesOf(files)).rejects.toThrow(
      /^FILE lists \d entries, expected 1 to 256 different ones/,
    );
  });

  it('have messages that name their source, and separate numbers and cursors', async () => {
    const [a, b] = [join(directory, 'a.log'), join(directory, 'b.log')] as const;
    writeFileSync(a, 'one\ntwo\n');
    writeFileSync(b, 'eins\n');
    const read = (source?: string, cursor?: Cursor) =>
      host.run<Batch[]>('generate', { module: LINES, file: `${a}, ${b}`, source, cursor });
    const messages = [
      { number: 1, text: 'one', source: 'a_log' },
      { number: 2, text: 'two', source: 'a_log' },
    ];
    expect(await read('a_log')).toEqual([{ messages, cursor: { number: 2, offset: 8 } }]);
    expect((await read('b_log'))[0]!.messages).toEqual([{ number: 1, text: 'eins', source: 'b_log' }]);
    expect(await read('a_log', { number: 2, offset: 8 })).toEqual([]);
    await expect(read('c_log')).rejects.toThrow(
      'the source is c_log, expected one of a_log, b_log (SOURCES)',
    );
    await expect(read()).rejects.toThrow('the source is not named, expected one of a_log, b_log');
  });
});

describe('a line of an access log', () => {
  const parse = async (line: string) => {
    const [result] = await host.run<{ fields?: object; error?: string }[]>('parse', {
      module: ACCESS_LOG,
      lines: [line],
    });
    return result!;
  };
  const line =
    '203.0.113.9 - ann lee [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203 "http://example.org/" "Mozilla/5.0 (X11)"';

  it('is parsed into its fields', async () => {
    expect((await parse(line)).fields).toEqual({
      host: '203.0.113.9',
      identity: undefined,
      user: 'ann lee',
      time: '17/May/2015:10:05:03 +0000',
      method: 'GET',
      path: '/a?b=c',
      protocol: 'HTTP/1.1',
      status: 200,
      bytes: 203,
      referer: 'http://example.org/',
      userAgent: 'Mozilla/5.0 (X11)',
    });
  });

  it.each<[string, string, string, object]>([
    ['no bytes', ' 203 ', ' - ', { bytes: 0 }],
    ['no referer', '"http://example.org/"', '"-"', { referer: undefined }],
    ['no user agent', '"Mozilla/5.0 (X11)"', '"-"', { userAgent: undefined }],
    ['an empty user agent', '"Mozilla/5.0 (X11)"', '""', { userAgent: '' }],
    ['a quoted quote', 'X11', String.raw`\"X\" \\`, { userAgent: String.raw`Mozilla/5.0 (\"X\" \\)` }],
    ['spaces in the path', '/a?b=c', '/a b  c', { path: '/a b  c', protocol: 'HTTP/1.1' }],
    ['an HTTP/0.9 request', 'GET /a?b=c HTTP/1.1', 'GET /', { path: '/', protocol: undefined }],
    ['no request', 'GET /a?b=c HTTP/1.1', '-', { method: undefined, path: undefined, protocol: undefined }],
    [
      'bytes of TLS for a request',
      'GET /a?b=c HTTP/1.1',
      String.raw`\x16\x03\x01`,
      { method: String.raw`\x16\x03\x01` },
    ],
    ['IPv6', '203.0.113.9', '2001:db8::1', { host: '2001:db8::1' }],
  ])('can have %s', async (_, part, other, fields) => {
    expect(line).toContain(part);
    expect((await parse(line.replace(part, () => other))).fields).toMatchObject(fields);
  });

  it.each([
    ['empty', ''],
    ['cut short', line.slice(0, -1)],
    ['of the common format, without referer and user agent', line.split(' "http')[0]!],
    ['with a status that is no number', line.replace(' 200 ', ' OK ')],
    ['followed by something else', `${line} 17`],
  ])('is refused and quoted if it is %s', async (_, wrong) => {
    expect(await parse(wrong)).toEqual({
      error: `not a line of Apache's combined log format: ${wrong}`,
    });
  });
});

(existsSync(REAL_LOG) ? describe : describe.skip)('a real log of 10,000 lines', () => {
  it('is read line by line, and one line does not parse', async () => {
    const messages = (await generate(undefined, REAL_LOG, ACCESS_LOG)).flatMap((batch) => batch.messages);
    expect(messages).toHaveLength(10_000);
    const results = await host.run<{ fields?: object; error?: string }[]>('parse', {
      module: ACCESS_LOG,
      lines: messages.map(({ text }) => text),
    });
    const wrong = messages.filter((_, index) => results[index]!.fields === undefined);
    expect(wrong.map(({ number }) => number)).toEqual([8899]);
  });

  it('is read to the same end from every cursor', async () => {
    const batches = await generate(undefined, REAL_LOG, ACCESS_LOG);
    const messages = batches.flatMap((batch) => batch.messages);
    for (const { cursor } of batches) {
      const rest = (await generate(cursor, REAL_LOG, ACCESS_LOG)).flatMap((batch) => batch.messages);
      expect(rest).toEqual(messages.slice(cursor.number));
    }
  });
});
