/** One server that can be connected to. */
export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

/** The address of Redis, parsed from a URL. */
export interface RedisAddress {
  /** Topology of the nodes: one server, Sentinels that know the master, or nodes of a Cluster. */
  kind: 'single' | 'sentinel' | 'cluster';
  /** At least one. For Sentinels and a Cluster, the first nodes to query. Default port 6379, for a Sentinel 26379. */
  nodes: readonly RedisNode[];
  /** The master's name in Sentinel's configuration. */
  master?: string;
  username?: string;
  password?: string;
  /** Database number, default 0; always 0 for a Cluster. */
  db: number;
  tls: boolean;
  /** File with the CA certificate to trust, for TLS. Default: the authorities that Node.js trusts. */
  caFile?: string;
  /** User and password of the Sentinels themselves, if they require them. */
  sentinelUsername?: string;
  sentinelPassword?: string;
}

/** An invalid Redis URL. The message says what was expected and never shows the URL, which can hold a password. */
export class RedisUrlError extends Error {}

const LOGIN = '[user:password@]';
const EXPECTED = {
  single: `redis://${LOGIN}host[:port][/db]`,
  sentinel: `redis+sentinel://${LOGIN}host[:port],.../master[/db]`,
  cluster: `redis+cluster://${LOGIN}host[:port],...`,
};
const EXPECTED_ANY = `${EXPECTED.single}, ${EXPECTED.sentinel} or ${EXPECTED.cluster}; rediss for TLS`;

/** @throws RedisUrlError stating what was expected. */
export function parseRedisUrl(text: string): RedisAddress {
  const parts = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/([^/?#]*)(?:\/([^?#]*))?$/i.exec(text);
  if (parts === null) throw new RedisUrlError(EXPECTED_ANY);
  const [, scheme = '', topology = 'single', authority = '', path = ''] = parts;
  const kind = topology.toLowerCase() as RedisAddress['kind'];
  const fail = (more = '') => new RedisUrlError(EXPECTED[kind] + more);

  const at = authority.lastIndexOf('@');
  const { username, password } = parseAuthority(`${authority.slice(0, at + 1)}host`, fail);
  const hosts = authority.slice(at + 1);
  const nodes = (kind === 'single' ? [hosts] : hosts.split(',')).map((host) => {
    const { hostname, port } = parseAuthority(host, fail);
    // URL keeps the brackets of an IPv6 address; sockets require it without them.
    const bare = hostname.replace(/^\[(.*)\]$/, '$1');
    return { host: bare, port: port === '' ? (kind === 'sentinel' ? 26379 : 6379) : Number(port) };
  });

  const [master, db = '', ...rest] = kind === 'sentinel' ? path.split('/') : [undefined, path];
  if (rest.length > 0 || master === '' || !/^\d{0,4}$/.test(db)) throw fail();
  if (kind === 'cluster' && Number(db) !== 0) throw fail(' (a Cluster has only database 0)');
  return {
    kind,
    nodes,
    ...(master !== undefined && { master: decode(master, fail) }),
    ...(username !== '' && { username: decode(username, fail) }),
    ...(password !== '' && { password: decode(password, fail) }),
    db: Number(db),
    tls: scheme.toLowerCase() === 'rediss',
  };
}

/** Parses one host, with its user, password and port, using the platform's own parser. */
function parseAuthority(text: string, fail: () => RedisUrlError): URL {
  let url: URL;
  try {
    url = new URL(`redis://${text}`);
  } catch {
    throw fail();
  }
  if (url.hostname === '' || url.pathname !== '') throw fail();
  return url;
}

/** Formats the address without user and password, for people to read. */
export function displayAddress({ kind, nodes, master, db, tls }: RedisAddress): string {
  const hosts = nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
  const path = [master, db === 0 ? undefined : db].filter((part) => part !== undefined);
  const scheme = `redis${tls ? 's' : ''}${kind === 'single' ? '' : `+${kind}`}`;
  return [`${scheme}://${hosts.join(',')}`, ...path].join('/');
}

/** Masks whatever could be a password in a URL within the text. */
export function redact(text: string): string {
  return text.replace(/:\/\/\S*/g, (part) => {
    const at = part.lastIndexOf('@');
    return at === -1 ? part : `://***${part.slice(at)}`;
  });
}

/**
 * Masks whatever could be a password in a malformed URL. Often the URL is malformed because its password is not
 * percent-encoded.
 */
export function redactUrl(text: string): string {
  const scheme = /^[\w+.-]*:\/\//.exec(text)?.[0] ?? '';
  const rest = text
    .slice(scheme.length)
    .replace(/[?#].*$/s, (end) => (end.includes('@') ? '@' : '***'))
    .replace(/^.*@/s, '***@');
  // Without an @, the text in place of the port could be a password as well.
  return scheme + rest.replace(/(?<=^[^[]*):(?!\d*(?:[,/]|$)).*$/s, ':***');
}

function decode(part: string, fail: (more: string) => RedisUrlError): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw fail(', each part percent-encoded');
  }
}
