import { readFileSync } from 'node:fs';
import { findMisspelt, SETTING_NAMES } from '../../src/configuration/settingNames';

const meant = (env: Record<string, string>) => findMisspelt(env).map((found) => found.meant);

it.each([
  ['CONCURENCY', 'CONCURRENCY'],
  ['concurrency', 'CONCURRENCY'],
  ['CONCURRENYC', 'CONCURRENCY'],
  ['ATEMPTS', 'ATTEMPTS'],
  ['REDIS_URI', 'REDIS_URL'],
  ['HANDLE_TIMEOUTMS', 'HANDLE_TIMEOUT_MS'],
  ['NAMESPCE', 'NAMESPACE'],
])('%s looks like %s', (name, right) => {
  expect(meant({ [name]: '1' })).toEqual([right]);
});

it('variables of other programs are ignored', () => {
  const names = [
    ...[
      'PATH',
      'HOME',
      'USER',
      'SHELL',
      'TERM',
      'LANG',
      'TZ',
      'PWD',
      'HOSTNAME',
      'LOGNAME',
      'EDITOR',
      'MAIL',
    ],
    ...['PORT', 'HOST', 'NODE_ENV', 'NODE_OPTIONS', 'DEBUG', 'CI', 'NO_COLOR', 'FORCE_COLOR', 'LOGLEVEL'],
    ...[
      'DATABASE_URL',
      'REDIS_TLS_URL',
      'REDIS_HOST',
      'REDIS_PORT',
      'REDIS_PASSWORD',
      'REDIS_USER',
      'REDIS_DB',
    ],
    ...[
      'POD_NAMESPACE',
      'POD_NAME',
      'WEB_CONCURRENCY',
      'SERVICE_NAME',
      'OTEL_SERVICE_NAME',
      'SOURCE',
      'TRACE',
    ],
    ...[
      'TASKS',
      'BOARDS',
      'DESK',
      'MASK',
      'FILE',
      'URL',
      'SHARDS',
      'POLL_MS',
      'EVERY_MS',
      'SCHEDULE',
      'MISSED',
    ],
    ...['API_URL', 'API_TOKEN', 'TOTAL', 'GITHUB_ACTIONS', 'KUBERNETES_SERVICE_HOST', 'XDG_SESSION_ID'],
  ];
  expect(findMisspelt(Object.fromEntries(names.map((name) => [name, 'x'])))).toEqual([]);
});

it('a misspelled name is ignored if the right one is set as well', () => {
  expect(meant({ CONCURENCY: '1', CONCURRENCY: '2' })).toEqual([]);
  expect(meant({ REDIS_URI: 'x', REDISURL: 'y' })).toEqual([]);
});

it('every variable that configures an instance is known, and none is taken for a misspelling of another', () => {
  const source = readFileSync('src/configuration/config.ts', 'utf8');
  const named = [...source.matchAll(/'([A-Z]+(?:_[A-Z]+)*)'/g)].map(([, name]) => name!);
  const others = ['NODE_ENV', 'NO_COLOR'];
  expect([...new Set(named)].filter((name) => !others.includes(name)).sort()).toEqual(
    [...SETTING_NAMES].sort(),
  );
  expect(findMisspelt(Object.fromEntries(SETTING_NAMES.map((name) => [name, 'x'])))).toEqual([]);
});
