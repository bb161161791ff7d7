/** Where one Redis is, taken apart from a `redis://` or `rediss://` URL. */
export interface RedisAddress {
  host: string;
  /** Default 6379. */
  port: number;
  username?: string;
  password?: string;
  /** Database number, default 0. */
  db: number;
  tls: boolean;
  /** File with the certificate of the authority to trust, for TLS. Default: those that Node.js trusts. */
  caFile?: string;
}

/** A URL that is not one of ours. Its message says what was expected, and never what the URL holds. */
export class RedisUrlError extends Error {}

const EXPECTED = 'redis://[user:password@]host[:port][/db], or rediss:// for TLS';

/** @throws RedisUrlError saying what was expected. */
export function parseRedisUrl(text: string): RedisAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new RedisUrlError(EXPECTED);
  }
  if (/^rediss?\+(sentinel|cluster):$/.test(url.protocol)) {
    throw new RedisUrlError(`${EXPECTED} (Sentinel and Cluster are not supported yet)`);
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') throw new RedisUrlError(EXPECTED);
  if (url.hostname === '' || url.search !== '' || url.hash !== '') throw new RedisUrlError(EXPECTED);
  const db = url.pathname.replace(/^\//, '');
  if (!/^\d{0,4}$/.test(db)) throw new RedisUrlError(EXPECTED);
  return {
    // URL keeps the brackets of an IPv6 address; sockets want it without.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.username !== '' && { username: decode(url.username) }),
    ...(url.password !== '' && { password: decode(url.password) }),
    db: Number(db),
    tls: url.protocol === 'rediss:',
  };
}

/** The address as it may be shown: no user, no password. */
export function displayAddress({ host, port, db, tls }: RedisAddress): string {
  const bracketed = host.includes(':') ? `[${host}]` : host;
  return `${tls ? 'rediss' : 'redis'}://${bracketed}:${port}${db === 0 ? '' : `/${db}`}`;
}

/** Any text with what may be a password in a URL blotted out. */
export function redact(text: string): string {
  return text.replace(/:\/\/\S*/g, (part) => {
    const at = part.lastIndexOf('@');
    return at === -1 ? part : `://***${part.slice(at)}`;
  });
}

/**
 * What was meant as a URL, with whatever may be a password in it blotted out, however wrong the URL is: a password
 * that is not percent-encoded is often what makes it wrong.
 */
export function redactUrl(text: string): string {
  const scheme = /^[\w+.-]*:\/\//.exec(text)?.[0] ?? '';
  const rest = text
    .slice(scheme.length)
    .replace(/[?#].*$/s, (end) => (end.includes('@') ? '@' : '***'))
    .replace(/^.*@/s, '***@');
  // Without an @, what stands where the port belongs may be a password as well.
  return scheme + rest.replace(/(?<=^[^[]*):(?!\d*(?:[,/]|$)).*$/s, ':***');
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new RedisUrlError(`${EXPECTED}, with user and password percent-encoded`);
  }
}
