import fc from 'fast-check';
import {
  displayAddress,
  parseRedisUrl,
  redact,
  redactUrl,
  type RedisAddress,
  RedisUrlError,
} from '../../src/redisUrl';

describe('a Redis URL', () => {
  it.each<[string, RedisAddress]>([
    ['redis://host', { host: 'host', port: 6379, db: 0, tls: false }],
    ['redis://host:7000', { host: 'host', port: 7000, db: 0, tls: false }],
    ['redis://host/', { host: 'host', port: 6379, db: 0, tls: false }],
    ['redis://host/15', { host: 'host', port: 6379, db: 15, tls: false }],
    ['rediss://host', { host: 'host', port: 6379, db: 0, tls: true }],
    ['REDIS://host', { host: 'host', port: 6379, db: 0, tls: false }],
    ['redis://127.0.0.1:1', { host: '127.0.0.1', port: 1, db: 0, tls: false }],
    ['redis://[::1]:7000/3', { host: '::1', port: 7000, db: 3, tls: false }],
    ['redis://:secret@host', { host: 'host', port: 6379, password: 'secret', db: 0, tls: false }],
    ['redis://me@host', { host: 'host', port: 6379, username: 'me', db: 0, tls: false }],
    ['redis://me:@host', { host: 'host', port: 6379, username: 'me', db: 0, tls: false }],
  ])('%s is taken apart', (url, address) => {
    expect(parseRedisUrl(url)).toEqual(address);
  });

  it('may hold any user and any password, percent-encoded', () => {
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
    'redis+sentinel://host/mymaster',
    'rediss+cluster://host:7000',
  ])('%s is refused, saying what was expected', (url) => {
    expect(() => parseRedisUrl(url)).toThrow(RedisUrlError);
    expect(() => parseRedisUrl(url)).toThrow(
      /^redis:\/\/\[user:password@\]host\[:port\]\[\/db\], or rediss:\/\/ for TLS/,
    );
  });
});

describe('an address as it is shown', () => {
  it.each([
    ['redis://me:secret@host', 'redis://host:6379'],
    ['rediss://:secret@host:7000/2', 'rediss://host:7000/2'],
    ['redis://[::1]', 'redis://[::1]:6379'],
  ])('of %s is %s', (url, shown) => {
    expect(displayAddress(parseRedisUrl(url))).toBe(shown);
  });
});

describe('a text with URLs in it', () => {
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

  it('is dealt with at once, however long it is', () => {
    for (const long of ['x', '://', '@', 'a://b@']) {
      const text = long.repeat(2_000_000);
      const startedAt = performance.now();
      redact(text);
      expect(performance.now() - startedAt).toBeLessThan(5000);
    }
  });
});

describe('what was meant as a URL', () => {
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
