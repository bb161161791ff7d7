import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type CommandResult, runCommand, runScript } from '../helpers/runCommand';
import { freePort, type RedisServer, startRedis } from '../helpers/redisServer';

let redis: RedisServer;
/** An address on which nothing listens. */
let nowhere: string;
let directory: string;
let count = 0;

beforeAll(async () => {
  redis = await startRedis();
  nowhere = `redis://127.0.0.1:${await freePort()}`;
});

afterAll(() => redis.stop());

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nic-commands-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Returns the environment of a new, empty group. */
function freshGroup() {
  const NAMESPACE = `test${++count}`;
  return { REDISURL: redis.url, NAMESPACE };
}

const errorsOf = ({ NAMESPACE }: { NAMESPACE: string }) => `{${NAMESPACE}}:errors`;

/** Every command that needs Redis. */
const COMMANDS = [[], ['getErrors'], ['status'], ['retryErrors', '1']];

/** Expects that the command only printed one line with the error. */
function expectRefusal({ code, stdout, stderr }: CommandResult, exitCode: number, reason: RegExp | string) {
  expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n\r]+\n$/);
  expect(stderr).not.toMatch(/\n\s+at |node:internal|\.[jt]s:\d/);
  if (typeof reason === 'string') expect(stderr).toBe(`error: ${reason}\n`);
  else expect(stderr).toMatch(reason);
}

describe('help and version', () => {
  it.each([
    [['--help'], /^Usage: npm start -- \[command\] \[options\]\n/],
    [['help'], /getErrors[\s\S]*retryErrors[\s\S]*status[\s\S]*Exit codes:/],
    [['start', '--help'], /^Usage: npm start -- start/],
    [['getErrors', '--help'], /--json[\s\S]*--clear[\s\S]*--limit <n>/],
    [['help', 'getErrors'], /--json[\s\S]*--clear[\s\S]*--limit <n>/],
    [['getError', '--help'], /^Usage: npm start -- getErrors\|getError/],
    [['retryErrors', '--help'], /--all/],
    [['status', '--help'], /--json[\s\S]*--watch/],
  ])('%j is answered on stdout', async (args, expected) => {
    const { code, stdout, stderr } = await runCommand(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(expected);
  });

  it('--version prints the version of the package', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await runCommand(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('wrong usage is refused with exit code 2', () => {
  const commands =
    'expected one of start, getErrors, retryErrors, status, cursor, pause, resume, drain, handover, destroy';

  it.each<[string[], string | RegExp]>([
    [['bogus'], `unknown command "bogus", ${commands}`],
    [['geterrors', '--json'], /"geterrors"|--json/],
    [['start', 'now'], `unknown command "now", ${commands}`],
    [['help', 'bogus'], `unknown command "bogus", ${commands}`],
    [['two\nlines\u001b[2J'], `unknown command "two\\nlines\\u001b[2J", ${commands}`],
    [['--bogus'], "unknown option '--bogus'"],
    [['--two\nlines\u001b[2J'], "unknown option '--two lines\\u001b[2J'"],
    [['getErrors', '7', '--summary'], 'getErrors got ids and --summary, expected one or the other'],
    [['getErrors', '7', '--newest'], 'getErrors got ids and --newest, expected one or the other'],
    [['getErrors', '--json', '--no-stack'], /'--no-stack' cannot be used with option '--json'/],
    [['getErrors', '--summary', '--stack'], /'--summary' cannot be used with option '--stack'/],
    [['getErrors', '--limit'], /--limit <n>' argument missing/],
    [['getErrors', '--limit', '0'], /--limit.* '0' is invalid. Expected a whole number from 1/],
    [['getErrors', '--limit=many'], /--limit.* 'many' is invalid. Expected a whole number from 1/],
    [['getErrors', '--summary', '--clear'], /'--summary' cannot be used with option '--clear'/],
    [['getErrors', '--limit', '3', '--summary'], /'--summary' cannot be used with option '--limit <n>'/],
    [['status', '--watch=3'], /unknown option '--watch=3'/],
    [['retryErrors'], 'retryErrors got no ids, expected either ids or --all'],
    [['retryErrors', '--all', '7'], 'retryErrors got --all and ids, expected either ids or --all'],
  ])('%j', async (args, reason) => {
    expectRefusal(await runCommand(args, { REDISURL: nowhere }), 2, reason);
  });
});

describe('an invalid configuration', () => {
  it('is refused by every command with exit code 2, and every invalid variable is named', async () => {
    const env = { REDISURL: nowhere, CONCURRENCY: 'many', LEASE_TTL_MS: '1', BOARD_HOST: '0.0.0.0' };
    for (const result of await Promise.all(COMMANDS.map((args) => runCommand(args, env)))) {
      expectRefusal(
        result,
        2,
        'configuration: CONCURRENCY is "many", expected a whole number from 1 to 10000; ' +
          'LEASE_TTL_MS is "1", expected a whole number of milliseconds from 300 to 2147483647; ' +
          'BOARD_HOST is "0.0.0.0" and BOARD_PASSWORD is not set, expected a password beyond loopback',
      );
    }
  });

  it('is refused with exit code 2 if a URL is invalid, without showing its password', async () => {
    const REDISURL = 'redis://me:Ses/ame@127.0.0.1:x';
    for (const result of await Promise.all(
      COMMANDS.slice(0, 2).map((args) => runCommand(args, { REDISURL })),
    )) {
      expectRefusal(
        result,
        2,
        'configuration: REDISURL is "redis://***@127.0.0.1:***", ' +
          'expected redis://[user:password@]host[:port][/db]',
      );
    }
  });
});

describe('an unusable Redis', () => {
  // The rest of the 5 s is the startup of Node.js on an idle machine.
  const MAX_CONNECTED_MS = 4500;

  it('that is not listening: exits with code 1 within 5 s without showing the password', async () => {
    const { port } = new URL(nowhere);
    const REDISURL = `redis://me:Sesame@127.0.0.1:${port}/3`;
    for (const result of await Promise.all(COMMANDS.map((args) => runCommand(args, { REDISURL })))) {
      expectRefusal(
        result,
        1,
        `Redis at redis://127.0.0.1:${port}/3 cannot be reached: connect ECONNREFUSED 127.0.0.1:${port}; ` +
          'expected a Redis server there',
      );
      expect(result.ms).toBeLessThan(5000);
    }
  });

  it('that never answers: exits with code 1 within 5 s', async () => {
    // Bytes that nobody reads would keep the socket from closing.
    const silent = await listen((client) => client.resume());
    try {
      const env = { REDISURL: `redis://127.0.0.1:${silent.port}` };
      for (const result of await Promise.all(COMMANDS.map((args) => runCommand(args, env)))) {
        expectRefusal(result, 1, /^error: Redis at redis:\/\/127.0.0.1:\d+ cannot be reached: /);
      }
      expect(silent.longestMs()).toBeLessThan(MAX_CONNECTED_MS);
    } finally {
      await silent.close();
    }
  });

  it('that stops answering midway: exits with code 1 within 5 s', async () => {
    const gate = await listen((client) => {
      const server = connect(redis.port, '127.0.0.1').on('error', () => undefined);
      client.on('close', () => server.destroy());
      server.pipe(client);
      // Connecting uses other commands.
      client.on('data', (chunk) => {
        if (!/zrange|hlen|exists|hgetall|evalsha/i.test(chunk.toString('latin1'))) server.write(chunk);
        else client.removeAllListeners('data').resume();
      });
    });
    try {
      const env = { REDISURL: `redis://127.0.0.1:${gate.port}` };
      const commands = COMMANDS.slice(1);
      for (const result of await Promise.all(commands.map((args) => runCommand(args, env)))) {
        // retryErrors also prints what it has not done.
        const stderr = result.stderr.replace('; not retried: 1\n', '\n');
        expectRefusal({ ...result, stderr }, 1, `Redis at ${env.REDISURL} failed: Command timed out`);
      }
      expect(gate.longestMs()).toBeLessThan(MAX_CONNECTED_MS);
    } finally {
      await gate.close();
    }
  });

  it('that holds a key of another type under the same name: exits with code 1', async () => {
    const env = freshGroup();
    await redis.client.set(errorsOf(env), 'not a hash');
    for (const command of ['getErrors', 'status']) {
      expectRefusal(await runCommand([command], env), 1, /^error: Redis at redis:\S+ failed: WRONGTYPE /);
    }
  });

  it('whose password is wrong or missing: exits with code 1 and says so without showing it', async () => {
    const guarded = await startRedis(['--save', '', '--requirepass', 'Sesame']);
    try {
      const address = `127.0.0.1:${guarded.port}`;
      const refused = `Redis at redis://${address} refused the user or password: `;
      const wrong = COMMANDS.slice(0, 2).map((args) =>
        runCommand(args, { REDISURL: `redis://:Simsim@${address}` }),
      );
      for (const result of await Promise.all(wrong)) {
        expectRefusal(result, 1, new RegExp(`^error: ${refused}WRONGPASS`));
        expect(result.stderr).not.toContain('Simsim');
      }
      expectRefusal(
        await runCommand(['status'], { REDISURL: `redis://${address}` }),
        1,
        new RegExp(`^error: ${refused}NOAUTH`),
      );
      expect(await runCommand(['status'], { REDISURL: `redis://:Sesame@${address}` })).toMatchObject({
        code: 0,
      });
    } finally {
      await guarded.stop();
    }
  });
});

describe('an invalid TASK is refused with exit code 2, naming the file', () => {
  it.each([
    ['missing.mjs', undefined, 'cannot be loaded: Cannot find module'],
    ['syntax.mjs', 'export function {', 'cannot be loaded: Unexpected token'],
    ['syntax.cjs', 'exports.generate = ;', 'cannot be loaded: Unexpected token'],
    ['nothing.mjs', '', 'exports nothing, expected two functions, generate and handle'],
    ['half.mjs', 'export function generate() {}', 'exports generate (function), expected two functions'],
    [
      'values.mjs',
      'export const generate = 1, handle = 2;',
      'exports generate (number), handle (number), expected',
    ],
  ])('%s', async (name, source, reason) => {
    const file = join(directory, name);
    if (source !== undefined) writeFileSync(file, source);
    // The path is relative to the working directory.
    const result = await runCommand([], { REDISURL: nowhere, TASK: name }, directory);
    expectRefusal(result, 2, /^error: TASK /);
    expect(result.stderr).toContain(`${file} ${reason}`);
  });

  it.each(['lines', 'accessLog'])('examples/%s.mjs asks for FILE if it is not set', async (name) => {
    const TASK = resolve(`examples/${name}.mjs`);
    expectRefusal(
      await runCommand([], { REDISURL: nowhere, TASK }),
      2,
      `TASK ${TASK} cannot be loaded: FILE is not set, expected the path of a text file`,
    );
  });
});

describe('.env in the working directory', () => {
  const namespaceIn = async (env: Record<string, string>) => {
    const { code, stdout, stderr } = await runCommand(
      ['status', '--json'],
      { REDISURL: redis.url, ...env },
      directory,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return (JSON.parse(stdout) as { namespace: string }).namespace;
  };

  it('is read, and the real environment takes precedence', async () => {
    writeFileSync(
      join(directory, '.env'),
      '# of this group\nNAMESPACE="from-file" # here\nREDISURL=redis://wrong.invalid\n',
    );
    expect(await namespaceIn({})).toBe('from-file');
    expect(await namespaceIn({ NAMESPACE: 'from-environment' })).toBe('from-environment');
  });

  it('is refused if it is invalid', async () => {
    writeFileSync(join(directory, '.env'), 'CONCURRENCY=0\n');
    expectRefusal(
      await runCommand(['status'], { REDISURL: nowhere }, directory),
      2,
      'configuration: CONCURRENCY is "0", expected a whole number from 1 to 10000',
    );
  });

  it('is ignored if it is a directory', async () => {
    mkdirSync(join(directory, '.env'));
    expect(await namespaceIn({})).toBe('nic');
  });
});

describe('status', () => {
  it('--json prints one object of the documented shape for a group that never ran', async () => {
    const env = freshGroup();
    const { code, stdout, stderr } = await runCommand(['status', '--json'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      `${JSON.stringify({
        namespace: env.NAMESPACE,
        leader: null,
        keeper: null,
        instances: [],
        messages: { generated: 0, waiting: 0, active: 0, delayed: 0, completed: 0, failed: 0 },
        paused: { generating: false, handling: false },
        sources: [{ source: null, leader: null, generated: 0, cursor: null, state: 'vacant' }],
        errors: 0,
      })}\n`,
    );
    expect(await redis.client.keys(`{${env.NAMESPACE}}*`)).toEqual([]);
  });

  it('prints the same as text without --json', async () => {
    const env = freshGroup();
    await seed(env, [record('1')]);
    const { code, stdout, stderr } = await runCommand(['status'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^${env.NAMESPACE}: no generator\n`));
    expect(stdout).toMatch(/errors +1 +\(getErrors prints them\)/);
    expect(stdout).toMatch(/instances +0\n$/);
  });

  it('--watch writes one block after another if stdout is not a terminal', async () => {
    const env = freshGroup();
    // Two blocks have 16 lines and an empty line between them.
    const { code, stdout } = await runScript('nic status --watch | head -17', env);
    expect(code).toBe(0);
    const block = `${env.NAMESPACE}: no generator\nkeeper     none\n\nmessages`;
    expect(stdout.split(block)).toHaveLength(3);
    expect(stdout).toContain(`instances  0\n\n${block}`);
    // eslint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/\u001b/);
  });

  it('--watch exits silently when its reader closes the pipe', async () => {
    const { code, stdout, stderr } = await runScript('nic status --json --watch | head -1', freshGroup());
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ leader: null });
  });
});

describe('retryErrors', () => {
  it('exits with code 1 and lists the ids that belong to no failed message', async () => {
    expectRefusal(
      await runCommand(['retryErrors', '7', 'x\u001b[2J'], freshGroup()),
      1,
      'no failed message has the id 7, x\\u001b[2J',
    );
  });

  it('--all does nothing when no message has failed', async () => {
    expect(await runCommand(['retryErrors', '--all'], freshGroup())).toMatchObject({
      code: 0,
      stdout: '',
      stderr: '0 messages are back in the queue\n',
    });
  });
});

interface ErrorRecord {
  id: string;
  message: unknown;
  error: { name: string; message: string; stack: string };
  attempts: number;
  failedAt: string;
  instance: string;
  source?: string;
}

function record(id: string, fields: Partial<ErrorRecord> = {}): ErrorRecord {
  return {
    id,
    message: { number: Number(id) },
    error: {
      name: 'RangeError',
      message: `number ${id} fails`,
      stack: `RangeError: number ${id} fails\n    at x`,
    },
    attempts: 1,
    // Higher ids are later.
    failedAt: new Date(Date.UTC(2024, 0, 1) + Number(id) * 1000).toISOString(),
    instance: 'host:1:abc',
    ...fields,
  };
}

async function seed(env: { NAMESPACE: string }, records: readonly ErrorRecord[]): Promise<void> {
  for (let start = 0; start < records.length; start += 1000) {
    const page = records.slice(start, start + 1000);
    await redis.client.hset(
      errorsOf(env),
      Object.fromEntries(page.map((each) => [each.id, JSON.stringify(each)])),
    );
  }
}

const idsIn = (jsonLines: string) =>
  jsonLines
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as ErrorRecord).id);

const idsLeft = async (env: { NAMESPACE: string }) =>
  (await redis.client.hkeys(errorsOf(env))).sort((a, b) => Number(a) - Number(b));

describe('getErrors', () => {
  it('prints nothing when no message has failed, and names the namespace', async () => {
    const env = freshGroup();
    expect(await runCommand(['getErrors'], env)).toMatchObject({
      code: 0,
      stdout: '',
      stderr: `no errors are recorded in the namespace "${env.NAMESPACE}"\n`,
    });
    expect(await runCommand(['getErrors', '--json'], env)).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  it('prints a block for each error, oldest first, and is also available as getError', async () => {
    const env = freshGroup();
    const lines = { name: 'Error', message: 'first\r\nsecond\n\nmessage 9  failed never', stack: '' };
    await seed(env, [
      record('30'),
      record('4', { attempts: 3, error: lines, message: { text: 'größer\n' } }),
      record('200', { failedAt: '2023-12-31T23:59:59.999Z', message: null }),
    ]);
    const { code, stdout, stderr } = await runCommand(['getError'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      [
        'message 200  failed 2023-12-31T23:59:59.999Z',
        '  RangeError: number 200 fails',
        '  1 attempt, the last on host:1:abc',
        '  data: null',
        '',
        'message 4  failed 2024-01-01T00:00:04.000Z',
        '  Error: first',
        '    second',
        '    ',
        '    message 9  failed never',
        '  3 attempts, the last on host:1:abc',
        '  data: {"text":"größer\\n"}',
        '',
        'message 30  failed 2024-01-01T00:00:30.000Z',
        '  RangeError: number 30 fails',
        '  1 attempt, the last on host:1:abc',
        '  data: {"number":30}',
        '',
        '',
      ].join('\n'),
    );
  });

  it('--json prints the records unchanged, one per line, oldest first', async () => {
    const env = freshGroup();
    const records = Array.from({ length: 1200 }, (_, index) => record(String(index + 1)));
    await seed(env, [...records].reverse());
    const { code, stdout, stderr } = await runCommand(['getErrors', '--json'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(records.map((each) => `${JSON.stringify(each)}\n`).join(''));
    expect(await redis.client.hlen(errorsOf(env))).toBe(1200);
  });

  it('--limit prints only the oldest errors', async () => {
    const env = freshGroup();
    await seed(env, [record('3'), record('1'), record('2')]);
    const { stdout } = await runCommand(['getErrors', '--json', '--limit', '2'], env);
    expect(idsIn(stdout)).toEqual(['1', '2']);
    const { stdout: all } = await runCommand(['getErrors', '--json', '--limit', '99999999999999999999'], env);
    expect(idsIn(all)).toEqual(['1', '2', '3']);
  });

  it('--clear removes exactly the errors that were printed', async () => {
    const env = freshGroup();
    await seed(
      env,
      Array.from({ length: 250 }, (_, index) => record(String(index + 1))),
    );
    const some = await runCommand(['getErrors', '--json', '--clear', '--limit', '120'], env);
    expect(some).toMatchObject({ code: 0, stderr: '' });
    expect(idsIn(some.stdout)).toHaveLength(120);
    expect([...idsIn(some.stdout), ...(await idsLeft(env))]).toEqual(
      Array.from({ length: 250 }, (_, index) => String(index + 1)),
    );
    const rest = await runCommand(['getErrors', '--clear'], env);
    expect(rest.stdout.match(/^message \d+ /gm)).toHaveLength(130);
    expect(await redis.client.exists(errorsOf(env))).toBe(0);
  });
});

describe('getErrors of errors with causes', () => {
  const cause = {
    ...{ name: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
    stack: 'Error: connect ECONNREFUSED\n    at TCP.afterConnect (node:net:1607:16)',
  };
  const error = {
    name: 'TypeError',
    message: 'fetch failed',
    stack:
      'TypeError: fetch failed\n    at handle (/app/feed.mjs:7:9)\n    at processTicks (node:internal/x:1:1)',
    cause,
    errors: [{ name: 'Error', message: 'line 1\nmessage 9', stack: '' }],
  };
  const withStacks = [
    'message 7  failed 2024-01-01T00:00:07.000Z',
    '  TypeError: fetch failed',
    '    at handle (/app/feed.mjs:7:9)',
    '    at processTicks (node:internal/x:1:1)',
    '    error 1 of 1: Error: line 1',
    '      message 9',
    '    caused by: Error: connect ECONNREFUSED (ECONNREFUSED)',
    '      at TCP.afterConnect (node:net:1607:16)',
    '  1 attempt, the last on host:1:abc',
    '  source: eu-west',
    '  data: {"number":7}',
    '',
    '',
  ].join('\n');
  const withoutStacks = withStacks.replaceAll(/^ +at .*\n/gm, '');

  it('prints the causes indented, with stacks if ids are given or --stack is set', async () => {
    const env = freshGroup();
    await seed(env, [record('6'), record('7', { error, source: 'eu-west' }), record('8')]);
    const print = (...args: string[]) => runCommand(['getErrors', ...args], env);
    expect((await print()).stdout).toContain(withoutStacks);
    expect((await print('--stack')).stdout).toContain(withStacks);
    expect(await print('7')).toMatchObject({ code: 0, stdout: withStacks, stderr: '' });
    expect((await print('7', '--no-stack')).stdout).toBe(withoutStacks);
    expect(idsIn((await print('--json', '--newest', '--limit', '2')).stdout)).toEqual(['8', '7']);
    const some = await print('8', '9', '6', 'x\u001b[2J', '--json', '--clear');
    expect(idsIn(some.stdout)).toEqual(['8', '6']);
    expectRefusal({ ...some, stdout: '' }, 1, 'no error is recorded of message 9, x\\u001b[2J');
    expect(await idsLeft(env)).toEqual(['7']);
  });

  it('--summary groups errors by their text without numbers and ids, and by the stack frame in the task', async () => {
    const env = freshGroup();
    const at = (line: number) => `Error: x\n    at node:fs:1:1\n    at handle (/app/a.mjs:${line}:1)`;
    const failing = (id: string, message: string, line: number) =>
      record(id, { error: { name: 'Error', message, stack: at(line) } });
    await seed(env, [
      failing('1', "order 'a-17' of 2.50 is late by 3s", 1),
      failing('2', "order 'b-18' of 4 is late by 10s", 1),
      failing('3', "order 'b-18' of 4 is late by 10s", 2),
    ]);
    const { stdout } = await runCommand(['getErrors', '--summary', '--json'], env);
    const groups = stdout.trim().split('\n');
    expect(groups.map((line) => JSON.parse(line) as object)).toMatchObject([
      {
        error: {
          name: 'Error',
          message: "order '<id>' of <n> is late by <n>s",
          frame: 'at handle (/app/a.mjs:1:1)',
        },
        count: 2,
        example: '2',
      },
      { count: 1, example: '3' },
    ]);
  });
});

describe('getErrors --summary', () => {
  const failing = (id: string, name: string, message: string) =>
    record(id, { error: { name, message, stack: '' } });
  const at = (seconds: number) => new Date(Date.UTC(2024, 0, 1) + seconds * 1000).toISOString();

  it('counts errors by name and first line, most frequent first, with first and last time and last id', async () => {
    const env = freshGroup();
    await seed(env, [
      failing('1', 'TypeError', 'x is undefined'),
      failing('2', 'Error', 'time-out\nafter 3 s'),
      failing('3', 'Error', 'time-out\r\nafter 5 s'),
      failing('4', 'TypeError', 'time-out'),
      failing('5', 'Error', 'time-out'),
    ]);
    const { code, stdout, stderr } = await runCommand(['getErrors', '--summary'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      [
        '3 errors',
        '  Error: time-out',
        `  first ${at(2)}, last ${at(5)}, for example 5`,
        '',
        '1 error',
        '  TypeError: x is undefined',
        `  at ${at(1)}, for example 1`,
        '',
        '1 error',
        '  TypeError: time-out',
        `  at ${at(4)}, for example 4`,
        '',
        '',
      ].join('\n'),
    );
    const json = await runCommand(['getErrors', '--summary', '--json'], env);
    expect(json.stdout.split('\n')[0]).toBe(
      JSON.stringify({
        error: { name: 'Error', message: 'time-out' },
        count: 3,
        first: at(2),
        last: at(5),
        example: '5',
      }),
    );
    expect(await redis.client.hlen(errorsOf(env))).toBe(5);
  });

  it('distinguishes a thousand texts, counts the rest together, and stores no more than it shows', async () => {
    const env = freshGroup();
    const long = 'é'.repeat(300);
    const letters = (n: number) => [...String(n)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
    await seed(
      env,
      Array.from({ length: 1010 }, (_, index) =>
        failing(String(index + 1), 'Error', `${letters(index)} ${long}`),
      ),
    );
    await seed(env, [failing('2000', 'Error', `${letters(7)} ${long}`), failing('2001', 'Error', 'another')]);
    const { stdout } = await runCommand(['getErrors', '--summary', '--json'], env);
    const groups = stdout
      .trim()
      .split('\n')
      .map(
        (line) => JSON.parse(line) as { error: { message: string } | null; count: number; example: string },
      );
    expect(groups).toHaveLength(1001);
    expect(groups[0]).toMatchObject({ count: 2, example: '2000' });
    expect(groups[0]!.error!.message).toBe(`${letters(7)} ${long}`.slice(0, 199) + '…');
    expect(groups.at(-1)).toEqual({
      error: null,
      count: 11,
      first: at(1001),
      last: at(2001),
      example: '2001',
    });
    const { stdout: words } = await runCommand(['getErrors', '--summary'], env);
    expect(words).toMatch(/11 errors\n {2}of other kinds: only 1000 are distinguished\n.*\n\n$/);
  });

  it('says that there is nothing when no message has failed', async () => {
    const env = freshGroup();
    const result = await runCommand(['getErrors', '--summary'], env);
    const stderr = `no errors are recorded in the namespace "${env.NAMESPACE}"\n`;
    expect(result).toMatchObject({ code: 0, stdout: '', stderr });
  });
});

describe('getErrors with untrusted data in Redis', () => {
  // 7-bit and 8-bit terminal codes, a bell, a bare carriage return, line separators and a change of text direction.
  const hostile = '\u001b[2J\u009b2J\u0007\r\u0085\u2028\u202e\u2066\nmessage 9  failed never';
  const raw = /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/u;
  const readable = record('1', {
    message: { [hostile]: hostile },
    error: { name: hostile, message: hostile, stack: hostile },
    failedAt: hostile,
    instance: hostile,
  });
  const unreadable: Record<string, string> = {
    2: `no JSON ${hostile}`,
    3: '',
    4: '42',
    5: '"text"',
    6: 'null',
    7: '[1,2]',
    8: '{}',
    9: '{"error":null}',
    10: JSON.stringify({ ...record('10'), error: { name: 'Error', message: 42, stack: '' } }),
    11: JSON.stringify({ ...record('11'), attempts: 'many' }),
    12: JSON.stringify({ ...record('12'), failedAt: undefined }),
    13: '{"id":"13"',
    [`14${hostile}`]: JSON.stringify({ a: hostile }),
  };
  const total = 1 + Object.keys(unreadable).length;
  const env = { NAMESPACE: 'hostile', REDISURL: '' };

  beforeAll(async () => {
    env.REDISURL = redis.url;
    await seed(env, [readable]);
    await redis.client.hset(errorsOf(env), unreadable);
  });

  it('prints no raw control characters and no forged lines', async () => {
    const { code, stdout, stderr } = await runCommand(['getErrors'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toMatch(raw);
    const blocks = stdout.split('\n').filter((line) => !line.startsWith('  ') && line !== '');
    expect(blocks).toHaveLength(total);
    for (const title of blocks) expect(title).toMatch(/^message \d+/);
    expect(blocks.filter((title) => title.startsWith('message 9'))).toEqual([
      'message 9: invalid record: {"error":null}',
    ]);
  });

  it('--json prints one complete object per line', async () => {
    const { code, stdout, stderr } = await runCommand(['getErrors', '--json'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toMatch(raw);
    const lines = stdout.split('\n').slice(0, -1);
    const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(objects).toHaveLength(total);
    expect(objects).toContainEqual(readable);
    for (const [id, json] of Object.entries(unreadable))
      expect(objects).toContainEqual({ id, unreadable: json });
  });

  it('--summary counts it on separate lines', async () => {
    const { code, stdout, stderr } = await runCommand(['getErrors', '--summary'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toMatch(raw);
    expect(stdout.split('\n').filter((line) => !line.startsWith('  ') && line !== '')).toEqual([
      `${total - 1} errors`,
      '1 error',
    ]);
    expect(stdout).toContain('  unreadable record\n  at unknown, for example ');
    const json = await runCommand(['getErrors', '--summary', '--json'], env);
    expect(json.stdout).not.toMatch(raw);
    for (const line of json.stdout.trim().split('\n'))
      expect(JSON.parse(line)).toMatchObject({ first: null });
  });

  it('--clear removes it', async () => {
    expect(await runCommand(['getErrors', '--clear'], env)).toMatchObject({ code: 0, stderr: '' });
    expect(await redis.client.exists(errorsOf(env))).toBe(0);
  });
});

describe('getErrors with 20,000 errors', () => {
  const env = { NAMESPACE: 'many', REDISURL: '' };
  const records = Array.from({ length: 20_000 }, (_, index) => record(String(index + 1)));

  beforeAll(async () => {
    env.REDISURL = redis.url;
    await seed(env, records);
  });

  it('exits silently when its reader closes the pipe after the first line', async () => {
    expect(await runScript('nic getErrors --json | head -1', env)).toMatchObject({
      code: 0,
      stdout: `${JSON.stringify(records[0])}\n`,
      stderr: '',
    });
  });

  it('exits silently and clears nothing when nothing is read', async () => {
    // `true` exits before Node.js has started.
    expect(await runScript('nic getErrors --clear | true', env)).toMatchObject({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect(await redis.client.hlen(errorsOf(env))).toBe(20_000);
  });

  (existsSync('/dev/full') ? it : it.skip)('clears nothing when the disk is full, and says so', async () => {
    const full = 'stdout cannot be written: ENOSPC: no space left on device, write';
    expectRefusal(await runScript('nic getErrors --json --clear >/dev/full', env), 1, full);
    expect(await redis.client.hlen(errorsOf(env))).toBe(20_000);
    expectRefusal(await runScript('nic status >/dev/full', env), 1, full);
    expectRefusal(await runScript('nic --help >/dev/full', env), 1, full);
  });

  it('clears nothing that did not reach the reader', async () => {
    const { code, stdout, stderr } = await runScript('nic getErrors --json --clear | head -1', env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(idsIn(stdout)).toEqual(['1']);

    const left = await idsLeft(env);
    const cleared = records.slice(0, records.length - left.length);
    expect(left).toEqual(records.slice(cleared.length).map(({ id }) => id));
    // These got through to head: what it read (one buffer) and what the pipe holds.
    const bytes = cleared.reduce((sum, each) => sum + JSON.stringify(each).length + 1, 0);
    expect(bytes).toBeLessThanOrEqual(2 * 64 * 1024);
  });
});

interface Listening {
  readonly port: number;
  /** The longest duration of a closed connection, in milliseconds. */
  longestMs(): number;
  /** Cuts all connections. */
  close(): Promise<void>;
}

/** Starts a server on a free loopback port. */
async function listen(serve: (client: Socket) => void): Promise<Listening> {
  const sockets = new Set<Socket>();
  const durations: number[] = [];
  const server: Server = createServer((socket) => {
    const openedAt = performance.now();
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => durations.push(performance.now() - openedAt));
    serve(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as { port: number }).port,
    longestMs() {
      if (durations.length === 0) throw new Error('no connection was closed');
      return Math.max(...durations);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
