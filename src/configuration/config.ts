import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { AppError } from '../errors';
import { MAX_TIMER_MS } from '../time';
import { isLoopback } from './loopback';
import { parseRedisUrl, redactUrl, type RedisAddress, RedisUrlError } from '../redis/address';
import { areSources, EXPECTED_SOURCES } from './sourceNames';

/** The configuration of an instance. Durations are in milliseconds. docs/configuration.md explains each setting. */
export interface Config {
  /** Undefined: a Redis on this machine is found or started. */
  readonly redis: RedisAddress | undefined;
  /** The nodes of the lease, independent of each other; undefined: only the main Redis. */
  readonly leaseRedis: readonly RedisAddress[] | undefined;
  readonly production: boolean;
  /** Whether Redis settings that can lose messages prevent the instance from starting. */
  readonly strictRedis: boolean;
  readonly namespace: string;
  readonly instanceName: string;
  /** Path of the task module; undefined: the demo. */
  readonly task: string | undefined;
  /** Whether this instance may become a generator. */
  readonly canGenerate: boolean;
  /** Names of the sources; undefined: those of the task. */
  readonly sources: readonly string[] | undefined;
  readonly generatorHandles: boolean;
  readonly concurrency: number;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly onStall: 'retry' | 'fail';
  /** Undefined: a handler has no time limit. */
  readonly handleTimeoutMs: number | undefined;
  readonly jobLockMs: number;
  readonly leaseTtlMs: number;
  readonly maxBacklog: number;
  /** Maximum number of messages that a group commit gathers. */
  readonly commitMaxMessages: number;
  readonly keepCompleted: number;
  readonly shutdownTimeoutMs: number;
  readonly board: {
    readonly on: boolean;
    readonly host: string;
    readonly port: number;
    readonly user: string | undefined;
    readonly password: string | undefined;
    readonly readOnly: boolean;
  };
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
  /** Whether messages are traced, through the OpenTelemetry SDK of this process. */
  readonly traces: boolean;
  /** Whether to use colors if the output is a terminal. */
  readonly colors: boolean;
  /** Undefined: pretty on a terminal, JSON elsewhere. */
  readonly logFormat: 'pretty' | 'json' | undefined;
  readonly demo: { readonly intervalMs: number; readonly handleMs: number; readonly errorRate: number };
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Parses the configuration from environment variables. An empty variable counts as not set. The function is pure except
 * for the random part of the default instance name.
 *
 * @throws AppError (exit code 2) with one line that names every invalid variable, its value and what was expected.
 */
export function resolveConfig(env: Environment): Config {
  const problems: string[] = [];

  const read = <T>(
    name: string,
    fallback: T,
    expected: string,
    parse: (text: string) => T | undefined,
  ): T => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = parse(text);
    if (value !== undefined) return value;
    problems.push(`${name} is ${shown(text)}, expected ${expected}`);
    return fallback;
  };
  const whole = <T = number>(
    name: string,
    fallback: T | number,
    least: number,
    most: number,
    unit = '',
  ): T | number =>
    read<T | number>(name, fallback, `a whole number${unit} from ${least} to ${most}`, (text) => {
      const value = /^\d+$/.test(text) ? Number(text) : NaN;
      return value >= least && value <= most ? value : undefined;
    });
  const milliseconds = <T = number>(name: string, fallback: T | number, least: number): T | number =>
    whole(name, fallback, least, MAX_TIMER_MS, ' of milliseconds');
  const choice = <T extends string>(name: string, fallback: T, options: readonly T[]): T =>
    read(name, fallback, options.join(' or '), (text) =>
      options.find((option) => option === text.toLowerCase()),
    );
  const flag = (name: string, fallback: boolean, expected = 'true or false') =>
    read(name, fallback, expected, (text) => FLAGS[text.toLowerCase()]);
  const matching = (name: string, fallback: string, pattern: RegExp, expected: string) =>
    read(name, fallback, expected, (text) => (pattern.test(text) ? text : undefined));

  const more = {
    caFile: env['REDIS_CA_FILE'],
    sentinelUsername: env['SENTINEL_USER'],
    sentinelPassword: env['SENTINEL_PASSWORD'],
  };
  const addresses = (name: string): RedisAddress[] | undefined =>
    env[name] ? readAddresses(name, env[name], more, problems) : undefined;

  const config: Config = {
    redis: (addresses('REDISURL') ?? addresses('REDIS_URL'))?.[0],
    leaseRedis: addresses('LEASE_REDIS_URLS'),
    production: env['NODE_ENV'] === 'production',
    strictRedis: flag('STRICT_REDIS', false),
    namespace: matching(
      'NAMESPACE',
      'nic',
      /^[^\s{}\p{Cc}]{1,100}$/u,
      '1 to 100 characters without braces or spaces',
    ),
    instanceName: matching(
      'INSTANCE_NAME',
      `${hostname().replace(/[^\x21-\x7e]/g, '_')}:${process.pid}:${randomBytes(3).toString('hex')}`,
      /^[\x21-\x7e]{1,200}$/,
      '1 to 200 ASCII characters without spaces',
    ),
    task: env['TASK'] || undefined,
    canGenerate: flag('CAN_GENERATE', true),
    sources: read<readonly string[] | undefined>('SOURCES', undefined, EXPECTED_SOURCES, (text) => {
      const names = text.split(',').map((name) => name.trim());
      return areSources(names) ? names : undefined;
    }),
    generatorHandles: flag('GENERATOR_HANDLES', true),
    concurrency: whole('CONCURRENCY', 1, 1, 10_000),
    attempts: whole('ATTEMPTS', 1, 1, 1_000_000),
    backoffMs: milliseconds('BACKOFF_MS', 1000, 0),
    onStall: choice('ON_STALL', 'retry', ['retry', 'fail']),
    handleTimeoutMs: milliseconds<number | undefined>('HANDLE_TIMEOUT_MS', undefined, 1),
    jobLockMs: milliseconds('JOB_LOCK_MS', 30_000, 500),
    leaseTtlMs: milliseconds('LEASE_TTL_MS', 5000, 300),
    maxBacklog: whole('MAX_BACKLOG', 100_000, 1, 1_000_000_000),
    commitMaxMessages: whole('COMMIT_MAX_MESSAGES', 1000, 1, 50_000),
    keepCompleted: whole('KEEP_COMPLETED', 1000, 0, 1_000_000_000),
    shutdownTimeoutMs: milliseconds('SHUTDOWN_TIMEOUT_MS', 10_000, 0),
    board: {
      on: flag('BOARD', true, 'on or off'),
      host: matching('BOARD_HOST', '127.0.0.1', /^[0-9a-zA-Z.:_-]+$/, 'a host name or address'),
      port: whole('BOARD_PORT', 3000, 0, 65_535),
      user: env['BOARD_USER'] || undefined,
      password: env['BOARD_PASSWORD'] || undefined,
      readOnly: flag('BOARD_READ_ONLY', false),
    },
    traces: flag('TRACES', false, 'on or off'),
    // Any value counts: https://no-color.org
    colors: !env['NO_COLOR'],
    logLevel: choice('LOG_LEVEL', 'info', ['error', 'warn', 'info', 'debug']),
    logFormat: choice<'pretty' | 'json' | ''>('LOG_FORMAT', '', ['pretty', 'json']) || undefined,
    demo: {
      intervalMs: milliseconds('DEMO_INTERVAL_MS', 500, 0),
      handleMs: milliseconds('DEMO_HANDLE_MS', 800, 0),
      errorRate: read('DEMO_ERROR_RATE', 0.15, 'a number from 0 to 1', (text) =>
        /^(\d+\.?\d*|\.\d+)$/.test(text) && Number(text) <= 1 ? Number(text) : undefined,
      ),
    },
  };

  const { on, host, user, password } = config.board;
  if (on && password === undefined) {
    // Anyone who can reach the board can retry and delete messages.
    if (!isLoopback(host)) {
      problems.push(
        `BOARD_HOST is "${host}" and BOARD_PASSWORD is not set, expected a password beyond loopback`,
      );
    }
    if (user !== undefined) problems.push('BOARD_USER is set and BOARD_PASSWORD is not, expected both');
  }
  if (problems.length > 0) throw new AppError(`configuration: ${problems.join('; ')}`, 2);
  return config;
}

const FLAGS: Record<string, boolean | undefined> = {
  __proto__: null as never,
  ...{ true: true, on: true, yes: true, 1: true },
  ...{ false: false, off: false, no: false, 0: false },
};

/** Parses one address, or, for LEASE_REDIS_URLS, several separated by commas. */
function readAddresses(
  name: string,
  text: string,
  { caFile, sentinelUsername, sentinelPassword }: Environment,
  problems: string[],
): RedisAddress[] | undefined {
  // A comma can also separate the hosts of one URL.
  const urls =
    name === 'LEASE_REDIS_URLS' ? text.split(/,(?=\s*[\w+.-]*:\/\/)/).map((url) => url.trim()) : [text];
  try {
    return urls.map(parseRedisUrl).map((address) => ({
      ...address,
      ...(address.tls && caFile && { caFile }),
      ...(address.kind === 'sentinel' && sentinelUsername && { sentinelUsername }),
      ...(address.kind === 'sentinel' && sentinelPassword && { sentinelPassword }),
    }));
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error;
    const found = urls.map(redactUrl).join(',');
    problems.push(`${name} is ${shown(found)}, expected ${urls.length > 1 ? 'each ' : ''}${error.message}`);
    return undefined;
  }
}

/** Formats a value for an error: quoted, with control characters escaped, and truncated. */
function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
