import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { hostLogger, missingMethods } from '../../src/logging/logger';
import { printable } from '../../src/terminal/printable';

/** Returns the output of a separate process whose logger has these settings and runs `code`. */
async function log(settings: object, statements: string): Promise<{ stdout: string; stderr: string }> {
  const script = `
    const { createOwnLogger } = require(${JSON.stringify(resolve('dist/logging/ownLogger.js'))});
    const { inFull, taskLogger } = require(${JSON.stringify(resolve('dist/logging/logger.js'))});
    const logger = createOwnLogger(${JSON.stringify(settings)});
    ${statements}`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'pipe'], env: {} });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  expect(child.exitCode).toBe(0);
  return { stdout, stderr };
}

/** Returns the lines without their time. */
const pretty = async (statements: string) => {
  const { stderr } = await log({ logLevel: 'debug', logFormat: 'pretty' }, statements);
  return stderr
    .trimEnd()
    .split('\n')
    .map((line) => {
      expect(line).toMatch(/^\d\d:\d\d:\d\d /);
      return line.slice(9);
    });
};

const json = async (statements: string, logLevel = 'debug') => {
  const { stderr } = await log({ logLevel, logFormat: 'json' }, statements);
  return stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};

describe('a log', () => {
  it('goes to stderr only, as JSON if stderr is not a terminal', async () => {
    const { stdout, stderr } = await log({ logLevel: 'info' }, 'logger.info("started", { pid: 1 });');
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toEqual({
      level: 'info',
      message: 'started',
      pid: 1,
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
    });
  });

  it('has only the lines that its level allows', async () => {
    const all = 'for (const level of ["debug", "info", "warn", "error"]) logger[level](level);';
    for (const [level, expected] of [
      ['error', ['error']],
      ['warn', ['warn', 'error']],
      ['debug', ['debug', 'info', 'warn', 'error']],
    ] as const) {
      expect((await json(all, level)).map((line) => line['level'])).toEqual(expected);
    }
  });

  it('carries the fields of its children', async () => {
    const [line] = await json('logger.child({ instance: "a" }).child({ term: 3 }).info("elected");');
    expect(line).toMatchObject({ instance: 'a', term: 3, message: 'elected' });
  });

  it('has the message of an error without passwords', async () => {
    const statement =
      'logger.warn("failed", { error: new Error("no redis://me:Sesame@host:1 here"), id: "7" });';
    expect(await json(statement)).toMatchObject([{ error: 'no redis://***@host:1 here', id: '7' }]);
    expect(await pretty(statement)).toEqual(['warn  failed  error="no redis://***@host:1 here" id=7']);
  });
});

describe('a log in the pretty format', () => {
  it('has one line for each message, with level, text and fields but without its own instance', async () => {
    const lines = await pretty(`
      logger.child({ instance: 'a' }).info('started', { namespace: 'nic', pid: 12 });
      logger.error('no fields');
      logger.debug('quoted', { empty: '', words: 'two words', lines: 'a\\nb', quote: '"', list: [1, { a: 2 }], none: null, gap: undefined });`);
    expect(lines).toEqual([
      'info  started  namespace=nic pid=12',
      'error no fields',
      'debug quoted  empty="" words="two words" lines="a\\nb" quote="\\"" list=[1,{"a":2}] none=null',
    ]);
  });

  it('accepts any value that a task logs', async () => {
    const lines = await pretty(`
      const circular = {}; circular.self = circular;
      logger.info('odd', { big: 10n, circular, at: Symbol('s'), date: new Date(0), run() {} });
      logger.info('still there');`);
    expect(lines).toEqual([
      expect.stringMatching(/^info {2}odd {2}big=10n circular=.*self.* date="1970-01-01T00:00:00.000Z"/),
      'info  still there',
    ]);
  });
});

describe('an error that a task threw', () => {
  const thrown = `
    const error = new TypeError('no redis://me:Sesame@host:1 here', { cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) });
    error.stack = error.message + '\\n    at generate (task.mjs:1:2)';
    error.cause.stack = 'Error: refused\\n    at connect (net.js:3:4)';`;

  it('has its stack and causes in separate fields, without passwords', async () => {
    const [line] = await json(`${thrown} logger.error('failed', { error: inFull(error), term: 3 });`);
    expect(line).toMatchObject({
      message: 'failed',
      term: 3,
      error: 'no redis://***@host:1 here',
      stack: 'no redis://***@host:1 here\n    at generate (task.mjs:1:2)',
      cause: { name: 'Error', message: 'refused', code: 'ECONNREFUSED', stack: expect.any(String) as string },
    });
  });

  it('has its stack and causes below the line in the pretty format', async () => {
    const { stderr } = await log(
      { logLevel: 'info', logFormat: 'pretty' },
      `${thrown} logger.error('failed', { error: inFull(error) });`,
    );
    expect(stderr.slice(9)).toBe(
      [
        'error failed  error="no redis://***@host:1 here"',
        '               TypeError: no redis://***@host:1 here',
        '                 at generate (task.mjs:1:2)',
        '                 caused by: Error: refused (ECONNREFUSED)',
        '                   at connect (net.js:3:4)',
        '',
      ].join('\n'),
    );
  });

  it('is logged in full when the task logs it in any argument, including the errors of an AggregateError', async () => {
    const lines = await json(`
      const error = new AggregateError([new Error('one'), new Error('two')], 'both');
      const logging = taskLogger(logger.child({ term: 1 }), { id: '7' });
      logging.warn('in a field', { error }); logging.warn('in place of fields', error); logging.warn(error);`);
    for (const line of lines) {
      expect(line).toMatchObject({
        id: '7',
        term: 1,
        error: 'both',
        errors: [{ message: 'one' }, { message: 'two' }],
      });
      expect(line['stack']).toMatch(/at /);
    }
    expect(lines.map(({ message }) => message)).toEqual(['in a field', 'in place of fields', 'both']);
  });

  it('can neither flood the log nor control the terminal', async () => {
    const { stderr } = await log(
      { logLevel: 'info', logFormat: 'pretty' },
      `const error = new Error('x\\u001b[2J'.repeat(10_000));
       error.stack = error.message + '\\n    at a\\u001b[2J'.repeat(5000);
       error.cause = error;
       logger.error('failed', { error: inFull(error) });`,
    );
    expect(stderr).not.toContain('\u001b');
    expect(stderr.length).toBeLessThan(60_000);
    expect(stderr.split('\n').length).toBeLessThan(70);
  });
});

describe('a logger of the host', () => {
  const collect = () => {
    const lines: unknown[][] = [];
    const take =
      (level: string) =>
      (...args: unknown[]) =>
        lines.push([level, ...args]);
    return {
      lines,
      host: { error: take('error'), warn: take('warn'), info: take('info'), debug: take('debug') },
    };
  };

  it('receives each line with the fields of all children as plain data', () => {
    const { host, lines } = collect();
    hostLogger(host)
      .child({ namespace: 'nic' })
      .child({ term: 3 })
      .warn('failed', { error: new Error('no redis://me:Sesame@h') });
    expect(lines).toEqual([['warn', 'failed', { namespace: 'nic', term: 3, error: 'no redis://***@h' }]]);
  });

  it('can throw or reject without harm', async () => {
    const fail = () => {
      throw new Error('full');
    };
    const logger = hostLogger({
      error: fail,
      warn: () => Promise.reject(new Error('full')),
      info: fail,
      debug: fail,
    });
    logger.error('x');
    logger.warn('x');
    logger.child({}).debug('x');
    await new Promise((resolve) => setImmediate(resolve));
  });

  it('is refused if it lacks methods', () => {
    expect(missingMethods({ ...collect().host, debug: undefined, warn: 1 })).toEqual(['warn', 'debug']);
    expect(missingMethods(console)).toEqual([]);
    expect(missingMethods(null)).toHaveLength(4);
  });
});

describe('control characters', () => {
  // 7-bit and 8-bit terminal codes, a bell, a bare carriage return, line separators and a change of text direction.
  const hostile = '\\u001b[2J\\u009b2J\\u0007\\r\\u0085\\u2028\\u202e\\u2066\\u200f';
  const raw = /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/u;

  it.each(['pretty', 'json'])('never appear raw in a %s log', async (logFormat) => {
    const { stderr } = await log(
      { logLevel: 'debug', logFormat },
      `logger.info('text ${hostile}', { field: 'value ${hostile}', error: new Error('${hostile}'), deep: ['${hostile}'], ['${hostile}']: 1 });`,
    );
    expect(stderr).not.toMatch(raw);
    expect(stderr.match(/\\u001b/g)).toHaveLength(5);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('are preserved in JSON', async () => {
    const [line] = await json(`logger.info('text', { field: '${hostile}' });`);
    expect(line!['field']).toBe(JSON.parse(`"${hostile}"`));
  });

  it('are made visible in any text, while line ends and tabs are kept', () => {
    expect(printable('a\tb\nc')).toBe('a\tb\nc');
    expect(printable('\u001b[31mred\u001b[0m')).toBe('\\u001b[31mred\\u001b[0m');
    expect(printable('\u0000\b\u000b\f\r\u007f\u0080\u009f')).toBe(
      '\\u0000\\u0008\\u000b\\u000c\\u000d\\u007f\\u0080\\u009f',
    );
    expect(printable('\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069')).toBe(
      '\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a\\u202e\\u2066\\u2069',
    );
    expect(printable('größer 日本 🙂 \u00a0é')).toBe('größer 日本 🙂 \u00a0é');
  });

  it('are all removed from any text, and JSON keeps its value', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        expect(printable(value)).not.toMatch(/[^\P{Cc}\n\t]|[\p{Bidi_Control}\u2028\u2029]/u);
        expect(JSON.parse(printable(JSON.stringify(value)))).toBe(value);
      }),
    );
  });
});
