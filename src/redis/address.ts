/** One server that can be connected to. */
export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is, taken apart from a URL. */
export interface RedisAddress {
  /** What the nodes are: the one server; Sentinels, who know it; or nodes of a Cluster. */
  kind: 'single' | 'sentinel' | 'cluster';
  /** At least one; of Sentinels and of a Cluster, those to begin with. Default ports: 6379, of a Sentinel 26379. */
  nodes: readonly RedisNode[];
  /** The name under which Sentinels know the master. */
  master?: string;
  username?: string;
  password?: string;
  /** Database number, default 0; a Cluster has no other. */
  db: number;
  tls: boolean;
  /** File with the certificate of the authority to trust, for TLS. Default: those that Node.js trusts. */
  caFile?: string;
  /** What the Sentinels themselves ask for, if they do. */
  sentinelUsername?: string;
  sentinelPassword?: string;
}

/** A URL that is not one of ours. Its message says what was expected, and never what the URL holds. */
export class RedisUrlError extends Error {}

const LOGIN = '[user:password@]';
const EXPECTED = {
  single: `redis://${LOGIN}host[:port][/db]`,
  sentinel: `redis+sentinel://${LOGIN}host[:port],.../master[/db]`,
  cluster: `redis+cluster://${LOGIN}host[:port],...`,
};
const EXPECTED_ANY = `${EXPECTED.single}, ${EXPECTED.sentinel} or ${EXPECTED.cluster}; rediss for TLS`;

/** @throws RedisUrlError saying what was expected. */
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
    // URL keeps the brackets of an IPv6 address; sockets want it without.
    const bare = hostname.replace(/^\[(.*)\]$/, '$1');
    return { host: bare, port: port === '' ? (kind === 'sentinel' ? 26379 : 6379) : Number(port) };
  });

  const [master, db = '', ...rest] = kind === 'sentinel' ? path.split('/') : [undefined, path];
  if (rest.length > 0 || master === '' || !/^\d{0,4}$/.test(db)) throw fail();
  if (kind === 'cluster' && Number(db) !== 0) throw fail(' (a Cluster has no other database than 0)');
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

/** One host with what belongs to it, as the platform's own parser reads it. */
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

/** The address as it may be shown: no user, no password. */
export function displayAddress({ kind, nodes, master, db, tls }: RedisAddress): string {
  const hosts = nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
  const path = [master, db === 0 ? undefined : db].filter((part) => part !== undefined);
  const scheme = `redis${tls ? 's' : ''}${kind === 'single' ? '' : `+${kind}`}`;
  return [`${scheme}://${hosts.join(',')}`, ...path].join('/');
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

function decode(part: string, fail: (more: string) => RedisUrlError): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw fail(', each part percent-encoded');
  }
}
