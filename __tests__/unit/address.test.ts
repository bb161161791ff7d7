import fc from 'fast-check';
import {
  displayAddress,
  parseRedisUrl,
  redact,
  redactUrl,
  type RedisAddress,
  RedisUrlError,
} from '../../src/redis/address';

describe('a Redis URL', () => {
  it.each<[string, RedisAddress]>([
    ['redis://host', { kind: 'single', nodes: [{ host: 'host', port: 6379 }], db: 0, tls: false }],
    ['redis://host:7000', { kind: 'single', nodes: [{ host: 'host', port: 7000 }], db: 0, tls: false }],
    ['redis://host/', { kind: 'single', nodes: [{ host: 'host', port: 6379 }], db: 0, tls: false }],
    ['redis://host/15', { kind: 'single', nodes: [{ host: 'host', port: 6379 }], db: 15, tls: false }],
    ['rediss://host', { kind: 'single', nodes: [{ host: 'host', port: 6379 }], db: 0, tls: true }],
    ['REDIS://host', { kind: 'single', nodes: [{ host: 'host', port: 6379 }], db: 0, tls: false }],
    ['redis://127.0.0.1:1', { kind: 'single', nodes: [{ host: '127.0.0.1', port: 1 }], db: 0, tls: false }],
    ['redis://[::1]:7000/3', { kind: 'single', nodes: [{ host: '::1', port: 7000 }], db: 3, tls: false }],
    [
      'redis://:secret@host',
      { kind: 'single', nodes: [{ host: 'host', port: 6379 }], password: 'secret', db: 0, tls: false },
    ],
    [
      'redis://me@host',
      { kind: 'single', nodes: [{ host: 'host', port: 6379 }], username: 'me', db: 0, tls: false },
    ],
    [
      'redis://me:@host',
      { kind: 'single', nodes: [{ host: 'host', port: 6379 }], username: 'me', db: 0, tls: false },
    ],
  ])('%s is parsed', (url, address) => {
    expect(parseRedisUrl(url)).toEqual(address);
  });

  it('can contain any user and any password, percent-encoded', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 });
    fc.assert(
      fc.property(text, text, (username, password) => {
        const url = `redis://${encodeURIComponent(username)}:${encodeURIComponent(password)}@host`;
        expect(parseRedisUrl(url)).toMatchObject({ username, password });
      }),
    );
  });

  it.each([
    'host',
    'host:6379',
    '127.0.0.1:6379',
    '/var/run/redis.sock',
    'http://host',
    'unix:///var/run/redis.sock',
    'redis:host',
    'redis://',
    'redis:///1',
    'redis://host:port',
    'redis://host:65536',
    'redis://host/one',
    'redis://host/-1',
    'redis://host/1/2',
    'redis://host/12345',
    'redis://host?db=1',
    'redis://host#1',
    'redis://two hosts',
    'redis://%zz@host',
    'redis://:%@host',
    'redis://one:1,two:2',
    'redis+sentinel://host',
    'redis+sentinel://host/',
    'redis+sentinel://host//1',
    'redis+sentinel://host/name/one',
    'redis+sentinel://host/name/1/2',
    'redis+sentinel:///name',
    'redis+sentinel://one,/name',
    'redis+sentinel://%zz@host/name',
    'redis+sentinel://host/%zz',
    'redis+cluster://',
    'redis+cluster://one,,two',
    'redis+cluster://one:x,two',
    'redis+cluster://one,me:secret@two:1:2',
    'redis+cluster://host/1',
    'redis+cluster://host/name',
    'redis+other://host',
  ])('%s is refused, saying what was expected', (url) => {
    expect(() => parseRedisUrl(url)).toThrow(RedisUrlError);
    const expected = /^redis(\+sentinel|\+cluster)?:\/\/\[user:password@\]host\[:port\]/;
    expect(() => parseRedisUrl(url)).toThrow(expected);
  });

  it.each<[string, Partial<RedisAddress>]>([
    [
      'redis+sentinel://one/mine',
      { kind: 'sentinel', nodes: [{ host: 'one', port: 26379 }], master: 'mine' },
    ],
    [
      'redis+sentinel://me:p%40ss@one:1,two:2/mine/3',
      { master: 'mine', db: 3, username: 'me', password: 'p@ss' },
    ],
    ['redis+sentinel://one/my%2Fmine', { master: 'my/mine' }],
    [
      'rediss+sentinel://[::1]:1,two/mine',
      {
        nodes: [
          { host: '::1', port: 1 },
          { host: 'two', port: 26379 },
        ],
        tls: true,
      },
    ],
    [
      'redis+cluster://one:7000,two',
      {
        kind: 'cluster',
        nodes: [
          { host: 'one', port: 7000 },
          { host: 'two', port: 6379 },
        ],
      },
    ],
    ['rediss+cluster://:secret@one/0', { kind: 'cluster', tls: true, password: 'secret', db: 0 }],
    ['REDIS+CLUSTER://one', { kind: 'cluster', tls: false }],
  ])('%s says where to ask for the server', (url, address) => {
    expect(parseRedisUrl(url)).toMatchObject(address);
  });
});

describe('the displayed form of an address', () => {
  it.each([
    ['redis://me:secret@host', 'redis://host:6379'],
    ['rediss://:secret@host:7000/2', 'rediss://host:7000/2'],
    ['redis://[::1]', 'redis://[::1]:6379'],
    ['redis+sentinel://me:secret@one:1,two/mine', 'redis+sentinel://one:1,two:26379/mine'],
    ['rediss+sentinel://one:1/mine/2', 'rediss+sentinel://one:1/mine/2'],
    ['redis+cluster://:secret@one:1,two:2', 'redis+cluster://one:1,two:2'],
  ])('of %s is %s', (url, shown) => {
    expect(displayAddress(parseRedisUrl(url))).toBe(shown);
  });
});

describe('a text that contains URLs', () => {
  it.each([
    ['connect to redis://me:secret@host:1 failed', 'connect to redis://***@host:1 failed'],
    ['rediss+sentinel://:secret@one:1,two:2/name', 'rediss+sentinel://***@one:1,two:2/name'],
    ['redis://:sec/ret@host', 'redis://***@host'],
    ['redis://:sec@ret@host', 'redis://***@host'],
    ['redis://:a@one and redis://:b@two', 'redis://***@one and redis://***@two'],
    ['redis://host:1 is away; mail me@host', 'redis://host:1 is away; mail me@host'],
    ['no URL at all', 'no URL at all'],
  ])('%s becomes %s', (text, redacted) => {
    expect(redact(text)).toBe(redacted);
  });

  it('is processed quickly, however long it is', () => {
    for (const long of ['x', '://', '@', 'a://b@']) {
      const text = long.repeat(2_000_000);
      const startedAt = performance.now();
      redact(text);
      expect(performance.now() - startedAt).toBeLessThan(5000);
    }
  });
});

describe('an invalid URL', () => {
  it.each([
    ['redis://user:secret@host:x', 'redis://***@host:***'],
    ['redis://user:secret@host:1/x', 'redis://***@host:1/x'],
    ['redis://:pa/ss@host:1', 'redis://***@host:1'],
    ['redis://:pa#ss@host:1', 'redis://***@'],
    ['user:secret@host:1', '***@host:1'],
    ['redis://host:secret', 'redis://host:***'],
    ['redis://host?password=secret', 'redis://host***'],
    ['redis://[::1]:6379/x', 'redis://[::1]:6379/x'],
    ['http://host:6379', 'http://host:6379'],
    ['localhost:6379', 'localhost:6379'],
  ])('%s is shown as %s', (text, shown) => {
    expect(redactUrl(text)).toBe(shown);
  });
});
