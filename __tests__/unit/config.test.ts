import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import fc from 'fast-check';
import { type Config, type Environment, resolveConfig } from '../../src/configuration/config';
import { AppError } from '../../src/errors';

interface Variable {
  name: string;
  /** The field of Config. */
  field: (config: Config) => unknown;
  fallback: unknown;
  accepted: Record<string, unknown>;
  refused: string[];
  expected: string;
  /** Further variables that are set. */
  beside?: Environment;
}

const NUMBERS_NEVER_ACCEPTED = ['x', '-1', '1.5', '1e3', '0x10', ' 5', '5 ', '+5', 'Infinity', 'NaN', '٣'];

function whole(
  name: string,
  field: Variable['field'],
  fallback: number,
  least: number,
  most: number,
): Variable {
  return {
    name,
    field,
    fallback,
    accepted: { [least]: least, [most]: most, '0700': 700 },
    refused: [...NUMBERS_NEVER_ACCEPTED, String(least - 1), String(most + 1), '9'.repeat(400)],
    expected: `a whole number from ${least} to ${most}`,
  };
}

function milliseconds(
  name: string,
  field: Variable['field'],
  fallback: number | undefined,
  least = 0,
): Variable {
  const variable = whole(name, field, fallback ?? 0, least, 2_147_483_647);
  return { ...variable, fallback, expected: variable.expected.replace('number', 'number of milliseconds') };
}

function flag(
  name: string,
  field: Variable['field'],
  fallback: boolean,
  expected = 'true or false',
): Variable {
  const accepted = {
    ...{ true: true, on: true, yes: true, '1': true, TRUE: true, On: true },
    ...{ false: false, off: false, no: false, '0': false, OFF: false },
  };
  return { name, field, fallback, accepted, refused: ['maybe', '2', 'toString', '__proto__'], expected };
}

const MAX_NAME = 'n'.repeat(64);
const names = (count: number, between = ',') =>
  Array.from({ length: count }, (_, index) => `n${index}`).join(between);

const VARIABLES: Variable[] = [
  {
    name: 'NAMESPACE',
    field: (config) => config.namespace,
    fallback: 'nic',
    accepted: { orders: 'orders', 'a:b.c-d': 'a:b.c-d', größe: 'größe', ['n'.repeat(100)]: 'n'.repeat(100) },
    refused: ['{a}', 'a}', 'two words', 'a\tb', 'a\nb', 'a\u007fb', 'n'.repeat(101)],
    expected: '1 to 100 characters without braces or spaces',
  },
  {
    name: 'INSTANCE_NAME',
    field: (config) => config.instanceName,
    fallback: expect.stringMatching(new RegExp(`^[!-~]+:${process.pid}:[0-9a-f]{6}$`)),
    accepted: { one: 'one', 'host:1': 'host:1', ['n'.repeat(200)]: 'n'.repeat(200) },
    refused: ['two words', 'größe', 'a\nb', 'n'.repeat(201)],
    expected: '1 to 200 ASCII characters without spaces',
  },
  flag('CAN_GENERATE', (config) => config.canGenerate, true),
  {
    name: 'SOURCES',
    field: (config) => config.sources?.join(' '),
    fallback: undefined,
    accepted: {
      a: 'a',
      'eu, us_2,Z-': 'eu us_2 Z-',
      [MAX_NAME]: MAX_NAME,
      [names(256)]: names(256, ' '),
    },
    refused: [',', 'a,', 'a,a', 'a, ,b', 'two words', 'größe', 'a.log', `${MAX_NAME}x`, names(257)],
    expected: '1 to 256 different names of 1 to 64 characters each, of A-Z a-z 0-9 _ -',
  },
  flag('GENERATOR_HANDLES', (config) => config.generatorHandles, true),
  whole('CONCURRENCY', (config) => config.concurrency, 1, 1, 10_000),
  whole('ATTEMPTS', (config) => config.attempts, 1, 1, 1_000_000),
  milliseconds('BACKOFF_MS', (config) => config.backoffMs, 1000),
  {
    name: 'ON_STALL',
    field: (config) => config.onStall,
    fallback: 'retry',
    accepted: { retry: 'retry', fail: 'fail', FAIL: 'fail' },
    refused: ['ignore', 'retry ', '1'],
    expected: 'retry or fail',
  },
  milliseconds('HANDLE_TIMEOUT_MS', (config) => config.handleTimeoutMs, undefined, 1),
  milliseconds('JOB_LOCK_MS', (config) => config.jobLockMs, 30_000, 500),
  milliseconds('LEASE_TTL_MS', (config) => config.leaseTtlMs, 5000, 300),
  whole('MAX_BACKLOG', (config) => config.maxBacklog, 100_000, 1, 1_000_000_000),
  whole('KEEP_COMPLETED', (config) => config.keepCompleted, 1000, 0, 1_000_000_000),
  milliseconds('SHUTDOWN_TIMEOUT_MS', (config) => config.shutdownTimeoutMs, 10_000),
  flag('BOARD', (config) => config.board.on, true, 'on or off'),
  {
    name: 'BOARD_HOST',
    field: (config) => config.board.host,
    fallback: '127.0.0.1',
    accepted: { localhost: 'localhost', '::1': '::1', '0.0.0.0': '0.0.0.0', 'a-b.example': 'a-b.example' },
    refused: ['two hosts', 'http://localhost', 'a/b', 'a\nb'],
    expected: 'a host name or address',
    beside: { BOARD_PASSWORD: 'secret' },
  },
  whole('BOARD_PORT', (config) => config.board.port, 3000, 0, 65_535),
  flag('BOARD_READ_ONLY', (config) => config.board.readOnly, false),
  flag('TRACES', (config) => config.traces, false, 'on or off'),
  {
    name: 'LOG_LEVEL',
    field: (config) => config.logLevel,
    fallback: 'info',
    accepted: { error: 'error', warn: 'warn', info: 'info', debug: 'debug', DEBUG: 'debug' },
    refused: ['verbose', 'silly', '0'],
    expected: 'error or warn or info or debug',
  },
  {
    name: 'LOG_FORMAT',
    field: (config) => config.logFormat,
    fallback: undefined,
    accepted: { pretty: 'pretty', json: 'json', JSON: 'json' },
    refused: ['text', 'xml'],
    expected: 'pretty or json',
  },
  milliseconds('DEMO_INTERVAL_MS', (config) => config.demo.intervalMs, 500),
  milliseconds('DEMO_HANDLE_MS', (config) => config.demo.handleMs, 800),
  {
    name: 'DEMO_ERROR_RATE',
    field: (config) => config.demo.errorRate,
    fallback: 0.15,
    accepted: { '0': 0, '1': 1, '0.5': 0.5, '.25': 0.25, '1.': 1, '1.0': 1 },
    refused: ['1.1', '-0.1', '10%', '1e-1', 'NaN', '.'],
    expected: 'a number from 0 to 1',
  },
];

describe.each(VARIABLES)('$name', ({ name, field, fallback, accepted, refused, expected, beside }) => {
  it('has a default, also if it is empty', () => {
    expect(field(resolveConfig({}))).toEqual(fallback);
    expect(field(resolveConfig({ [name]: '' }))).toEqual(fallback);
  });

  it('accepts valid values', () => {
    for (const [text, value] of Object.entries(accepted)) {
      expect(field(resolveConfig({ ...beside, [name]: text }))).toBe(value);
    }
  });

  it('refuses invalid values, saying what was found and what was expected', () => {
    for (const text of refused) {
      const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
      expect(problem({ ...beside, [name]: text })).toBe(
        `configuration: ${name} is ${shown}, expected ${expected}`,
      );
    }
  });
});

describe('variables without a special format', () => {
  it.each([
    ['TASK', (config: Config) => config.task],
    ['BOARD_PASSWORD', (config: Config) => config.board.password],
  ])('%s is undefined by default and if empty, and otherwise used unchanged', (name, field) => {
    expect(field(resolveConfig({}))).toBeUndefined();
    expect(field(resolveConfig({ [name]: '' }))).toBeUndefined();
    expect(field(resolveConfig({ [name]: ' what ever ' }))).toBe(' what ever ');
  });

  it('BOARD_USER is undefined by default and if empty, and otherwise used unchanged', () => {
    const user = (env: Environment) => resolveConfig({ BOARD_PASSWORD: 'secret', ...env }).board.user;
    expect(user({})).toBeUndefined();
    expect(user({ BOARD_USER: '' })).toBeUndefined();
    expect(user({ BOARD_USER: 'ops' })).toBe('ops');
  });

  it('only NODE_ENV=production enables production mode', () => {
    expect(resolveConfig({ NODE_ENV: 'production' }).production).toBe(true);
    expect(resolveConfig({ NODE_ENV: 'development' }).production).toBe(false);
    expect(resolveConfig({}).production).toBe(false);
  });
});

describe('LEASE_REDIS_URLS and REDIS_CA_FILE', () => {
  it('set separate lease nodes, and a certificate authority for those that use TLS', () => {
    const { redis, leaseRedis } = resolveConfig({
      REDISURL: 'redis://main',
      LEASE_REDIS_URLS: 'redis://a:1, rediss://b:2',
      REDIS_CA_FILE: 'ca.pem',
    });
    expect(redis).toEqual({ kind: 'single', nodes: [{ host: 'main', port: 6379 }], db: 0, tls: false });
    expect(leaseRedis).toEqual([
      { kind: 'single', nodes: [{ host: 'a', port: 1 }], db: 0, tls: false },
      { kind: 'single', nodes: [{ host: 'b', port: 2 }], db: 0, tls: true, caFile: 'ca.pem' },
    ]);
    expect(resolveConfig({}).leaseRedis).toBeUndefined();
  });

  it('accept several hosts each', () => {
    const sentinels = 'redis+sentinel://a:1,b:2/mine';
    const { leaseRedis } = resolveConfig({ LEASE_REDIS_URLS: `${sentinels},redis://c:3` });
    expect(leaseRedis).toHaveLength(2);
    expect(leaseRedis?.[0]?.nodes).toHaveLength(2);
    expect(problem({ LEASE_REDIS_URLS: 'redis://a:1,b:2' })).toContain('LEASE_REDIS_URLS is');
  });

  it('use separate variables for the credentials of the Sentinels', () => {
    const login = { SENTINEL_USER: 'watch', SENTINEL_PASSWORD: 'Sesame' };
    const sentinel = resolveConfig({ REDISURL: 'redis+sentinel://a/mine', ...login }).redis;
    expect(sentinel).toMatchObject({ sentinelUsername: 'watch', sentinelPassword: 'Sesame' });
    expect(resolveConfig({ REDISURL: 'redis://a', ...login }).redis).not.toHaveProperty('sentinelPassword');
  });

  it('are refused as a whole if one URL is invalid, without showing a password', () => {
    const told = problem({ LEASE_REDIS_URLS: 'redis://u:Sesame@a,http://u:Sesame@b' });
    expect(told).toMatch(/^configuration: LEASE_REDIS_URLS is ".*", expected each redis:/);
    expect(told).not.toContain('Sesame');
  });
});

describe('REDISURL', () => {
  const redis = {
    kind: 'single',
    nodes: [{ host: 'redis.example', port: 6380 }],
    username: 'me',
    password: 'p@ss',
    db: 2,
    tls: false,
  };
  const url = 'redis://me:p%40ss@redis.example:6380/2';

  it('is undefined by default and if empty', () => {
    expect(resolveConfig({}).redis).toBeUndefined();
    expect(resolveConfig({ REDISURL: '', REDIS_URL: '' }).redis).toBeUndefined();
  });

  it('is the address of Redis', () => {
    expect(resolveConfig({ REDISURL: url }).redis).toEqual(redis);
  });

  it('takes precedence over its alias REDIS_URL', () => {
    expect(resolveConfig({ REDIS_URL: url }).redis).toEqual(redis);
    expect(resolveConfig({ REDISURL: '', REDIS_URL: url }).redis).toEqual(redis);
    expect(resolveConfig({ REDISURL: url, REDIS_URL: 'redis://other' }).redis).toEqual(redis);
  });

  it('is refused under the name that was used', () => {
    const expected =
      'expected redis://[user:password@]host[:port][/db], redis+sentinel://[user:password@]host[:port],.../master[/db] or redis+cluster://[user:password@]host[:port],...; rediss for TLS';
    expect(problem({ REDISURL: 'localhost' })).toBe(`configuration: REDISURL is "localhost", ${expected}`);
    expect(problem({ REDIS_URL: 'http://a' })).toBe(`configuration: REDIS_URL is "http://a", ${expected}`);
  });

  it('never shows a password, whatever is wrong with the URL and whatever the password contains', () => {
    const wrongUrls: ((password: string) => string)[] = [
      (password) => `redis://:${password}@host:99999`,
      (password) => `redis://user:${password}@host/db`,
      (password) => `redis://user:${password}@`,
      (password) => `http://user:${password}@host`,
      (password) => `user:${password}@host:6379`,
      (password) => `:${password}@host`,
      (password) => `redis:user:${password}@host`,
      (password) => `//user:${password}@host`,
      (password) => `redis://a:${password}@one,b:${password}@two`,
      (password) => `redis+sentinel://:${password}@one,two/master`,
      (password) => `rediss+cluster://user:${password}@one:7000`,
      (password) => `redis://host?password=${password}`,
      (password) => `redis://host#${password}`,
    ];
    const mark = 'Sesame';
    const passwords = fc.oneof(
      fc.constant(''),
      fc.string({ maxLength: 12 }),
      fc
        .array(fc.constantFrom('/', '@', '#', '?', ':', '%', ' ', '\n', '[', ']', '\\'), { maxLength: 6 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(fc.constantFrom(...wrongUrls), passwords, (wrongUrl, middle) => {
        const url = wrongUrl(`${mark}${middle}${mark}`);
        // A # or ? in a password can leave a valid URL, though not the intended one.
        fc.pre(isRefused(url));
        expect(problem({ REDISURL: url })).not.toContain(mark);
      }),
      { numRuns: 1000 },
    );
    expect(problem({ REDISURL: `redis://user:${mark}` })).not.toContain(mark);
    expect(problem({ REDISURL: `redis://:${mark}:6379` })).not.toContain(mark);
  });
});

describe('the board', () => {
  const expected = 'is not set, expected a password beyond loopback';

  it.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('needs no password on %s', (host) => {
    expect(resolveConfig({ BOARD_HOST: host }).board.host).toBe(host);
  });

  it.each(['0.0.0.0', '::', '192.168.1.1', 'example.org', 'localhost.example.org', '127.0.0.1.example.org'])(
    'needs a password on %s',
    (host) => {
      const refusal = `configuration: BOARD_HOST is "${host}" and BOARD_PASSWORD ${expected}`;
      expect(problem({ BOARD_HOST: host })).toBe(refusal);
      expect(problem({ BOARD_HOST: host, BOARD_PASSWORD: '' })).toBe(refusal);
      expect(resolveConfig({ BOARD_HOST: host, BOARD_PASSWORD: 'secret' }).board.host).toBe(host);
    },
  );

  it('requires a password if a user is set', () => {
    expect(problem({ BOARD_USER: 'ops' })).toBe(
      'configuration: BOARD_USER is set and BOARD_PASSWORD is not, expected both',
    );
  });

  it('is not checked if it is off', () => {
    expect(resolveConfig({ BOARD: 'off', BOARD_HOST: '0.0.0.0', BOARD_USER: 'ops' }).board.on).toBe(false);
  });
});

describe('configuration errors', () => {
  it('are reported together in one line, with exit code 2', () => {
    const env = {
      REDISURL: 'redis://user:Sesame@host/x',
      NAMESPACE: '{}',
      CONCURRENCY: 'many\nlines',
      LEASE_TTL_MS: '10',
      BOARD_HOST: '0.0.0.0',
      BOARD_USER: 'ops',
      DEMO_ERROR_RATE: '2',
    };
    const message = problem(env);
    expect(message).not.toMatch(/[\n\r]/);
    expect(message).not.toContain('Sesame');
    expect(message.split('; ')).toEqual([
      'configuration: REDISURL is "redis://***@host/x", expected redis://[user:password@]host[:port][/db]',
      'NAMESPACE is "{}", expected 1 to 100 characters without braces or spaces',
      'CONCURRENCY is "many\\nlines", expected a whole number from 1 to 10000',
      'LEASE_TTL_MS is "10", expected a whole number of milliseconds from 300 to 2147483647',
      'DEMO_ERROR_RATE is "2", expected a number from 0 to 1',
      'BOARD_HOST is "0.0.0.0" and BOARD_PASSWORD is not set, expected a password beyond loopback',
      'BOARD_USER is set and BOARD_PASSWORD is not, expected both',
    ]);
  });

  it('never show the password of the board', () => {
    expect(problem({ BOARD_PASSWORD: 'Sesame', BOARD_PORT: 'x' })).not.toContain('Sesame');
  });
});

it('NO_COLOR accepts any value that is not empty', () => {
  const colors = (NO_COLOR?: string) => resolveConfig({ NO_COLOR }).colors;
  expect([colors(), colors(''), colors('1'), colors('0'), colors('false')]).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

describe('.env.example', () => {
  const text = readFileSync('.env.example', 'utf8');
  const listed = [...text.matchAll(/^# ([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name!);

  it('lists each variable that the program and the examples read exactly once', () => {
    const expected = [...new Set([...variablesRead(), ...variablesOfExamples()])];
    expect([...listed].sort()).toEqual([...expected].sort());
  });

  it('sets nothing, and explains each variable in the comment above it', () => {
    expect(parseEnv(text)).toEqual({});
    const lines = text.split('\n');
    for (const name of listed) {
      const above = lines[lines.findIndex((line) => line.startsWith(`# ${name}=`)) - 1];
      expect(above).toMatch(/^# \S.*\S{2}/);
      expect(above).not.toMatch(/^# [A-Z0-9_]+=/);
    }
  });

  it('shows the defaults', () => {
    const env = parseEnv(text.replace(/^# (?=[A-Z][A-Z0-9_]*=)/gm, ''));
    expect(Object.keys(env).sort()).toEqual([...listed].sort());
    const config = { ...resolveConfig(env), instanceName: '' };
    const defaults = { ...resolveConfig({}), instanceName: '' };
    expect(config).toEqual(defaults);
  });
});

/** Returns the variables that resolveConfig reads. */
function variablesRead(): string[] {
  const names = new Set<string>();
  const seeing = new Proxy<Environment>(
    {},
    {
      get: (_, name) => {
        names.add(String(name));
        return undefined;
      },
    },
  );
  resolveConfig(seeing);
  return [...names];
}

function variablesOfExamples(): string[] {
  const sources = readdirSync('examples', { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.mjs') && !name.includes('node_modules'),
  );
  return sources.flatMap((name) => {
    const source = readFileSync(join('examples', name), 'utf8');
    const direct = [...source.matchAll(/\benv\.([A-Z][A-Z0-9_]*)/g)].map(([, variable]) => variable!);
    const unpacked = [...source.matchAll(/\{([^{}]*)\}\s*=\s*(?:process\.)?env\b/g)].flatMap(([, names]) =>
      [...names!.matchAll(/(?:^|,)\s*([A-Z][A-Z0-9_]*)/g)].map(([, variable]) => variable!),
    );
    return [...direct, ...unpacked];
  });
}

/** Returns the message of the error. */
function problem(env: Environment): string {
  try {
    resolveConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).exitCode).toBe(2);
    return (error as AppError).message;
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`);
}

function isRefused(url: string): boolean {
  try {
    resolveConfig({ REDISURL: url });
    return false;
  } catch {
    return true;
  }
}
