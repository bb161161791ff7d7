import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { AppError, toError } from '../errors';
import { withDeadline } from '../time';
import { MasterLocator } from './masterLocator';
import { displayAddress, type RedisAddress } from './address';
import { type Role, SETTINGS, type Settings, WITHOUT_INFO } from './roles';
import { checkTwice } from './stalledSocket';

export type { Role } from './roles';

/**
 * Replies of the wrong server: it has just become a replica, or the slot has moved or is moving. The connection is
 * reopened, and BullMQ's commands are resent; they have had no effect yet.
 */
const NOT_HERE = /^(READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|UNBLOCKED) /;

/** Timeout of a first connection, in milliseconds. Commands promise to give up within 5 s. */
const CONNECT_DEADLINE_MS = 2500;

export interface RedisConnectorOptions {
  readonly address: RedisAddress;
  /** Any key of the group. In a Cluster it determines the server. */
  readonly key: string;
  /** Name of each connection, shown by CLIENT LIST. A user without that right connects without a name. */
  readonly name?: string | undefined;
  /** Called with every connection error after the first connect; ioredis reconnects by itself. */
  readonly onError?: (role: Role, error: Error) => void;
}

/** Opens connections to one Redis. No other module turns an address into a client. */
export class RedisConnector {
  readonly #address: RedisAddress;
  readonly #name: string | undefined;
  readonly #onError: (role: Role, error: Error) => void;
  readonly #tls: { ca?: Buffer } | undefined;
  readonly #master: MasterLocator | undefined;
  #mayAskInfo: Promise<boolean> | undefined;

  /** @throws AppError (exit code 2) if the CA certificate cannot be read. */
  constructor({ address, key, name, onError = () => undefined }: RedisConnectorOptions) {
    this.#address = address;
    this.#name = name;
    this.#onError = onError;
    const { caFile } = address;
    this.#tls = !address.tls ? undefined : caFile === undefined ? {} : { ca: readCertificate(caFile) };
    if (address.kind !== 'single') this.#master = new MasterLocator({ address, key, tls: this.#tls });
  }

  /**
   * Returns a client that is connected and ready.
   *
   * @param overrides for example `commandTimeout`, in milliseconds
   * @throws AppError (exit code 1) naming the address and the reason, within 5 s
   */
  async connect(role: Role, overrides: Settings = {}): Promise<Redis> {
    const mayAskInfo = await (this.#mayAskInfo ??= this.#askInfo());
    return this.#open(role, { ...(!mayAskInfo && WITHOUT_INFO), ...overrides });
  }

  /**
   * Whether this user may send INFO. ioredis sends it on connect, to check whether Redis is still loading its data, and
   * prints a warning when it is refused; BullMQ sends it to read the version, and fails.
   */
  async #askInfo(): Promise<boolean> {
    try {
      const client = await this.#open('control', WITHOUT_INFO);
      try {
        await client.info('server');
      } finally {
        client.disconnect();
      }
    } catch (error) {
      if (error instanceof AppError) {
        this.#mayAskInfo = undefined;
        throw error;
      }
      return !toError(error).message.startsWith('NOPERM');
    }
    return true;
  }

  async #open(role: Role, overrides: Settings): Promise<Redis> {
    const client = this.#create(role, overrides);
    let reason: Error | undefined;
    const remember = (error: Error) => {
      reason = error;
    };
    client.on('error', remember);
    const deadline = setTimeout(() => client.disconnect(), CONNECT_DEADLINE_MS);
    try {
      await client.connect();
      // When SELECT fails, ioredis only emits an error and continues with database 0, which holds other data.
      if (reason !== undefined) throw reason;
    } catch (error) {
      client.disconnect();
      throw this.#unreachable(reason ?? toError(error));
    } finally {
      clearTimeout(deadline);
    }
    client.off('error', remember);
    client.on('error', (error) => this.#onError(role, error));
    return client;
  }

  /** Returns a client that connects in the background, for a server that might be missing. */
  connectLater(role: Role, overrides: Settings = {}): Redis {
    const client = this.#create(role, { ...WITHOUT_INFO, ...overrides });
    client.on('error', (error) => this.#onError(role, error));
    // It retries according to its settings.
    client.connect().catch(() => undefined);
    return client;
  }

  #create(role: Role, overrides: Settings): Redis {
    const { nodes, username, password, db } = this.#address;
    const client = new Redis({
      ...(this.#master === undefined ? nodes[0]! : { Connector: this.#master.connector }),
      db,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(this.#tls !== undefined && { tls: this.#tls }),
      ...(this.#name !== undefined && { connectionName: this.#name }),
      lazyConnect: true,
      connectTimeout: CONNECT_DEADLINE_MS,
      keepAlive: 5000,
      // CLIENT SETINFO would cost two useless commands for each connection, and not every user may send them.
      disableClientInfo: true,
      // ioredis would wait as long as Redis estimates that loading its data takes, and that estimate is poor.
      maxLoadingRetryTime: 100,
      // A timer of this length keeps the process alive after each connection that ioredis closes.
      disconnectTimeout: 200,
      retryStrategy: (attempt) => Math.min(20 * 2 ** Math.min(attempt, 10), 1000),
      reconnectOnError: ({ message }) => NOT_HERE.test(message) && (role === 'queue' ? 2 : true),
      ...SETTINGS[role],
      ...overrides,
    });
    return checkTwice(client);
  }

  #unreachable(reason: Error): AppError {
    const address = displayAddress(this.#address);
    const text = reason.message || (reason as NodeJS.ErrnoException).code || 'no answer';
    if (/^(WRONGPASS|NOAUTH|NOPERM)/.test(text)) {
      return new AppError(`Redis at ${address} refused the user or password: ${text}`, 1, { cause: reason });
    }
    const found = text === 'Connection is closed.' ? 'no answer' : text;
    return new AppError(`Redis at ${address} cannot be reached: ${found}; expected a Redis server there`, 1, {
      cause: reason,
    });
  }
}

function readCertificate(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new AppError(`REDIS_CA_FILE ${file} cannot be read: ${toError(error).message}`, 2, {
      cause: error,
    });
  }
}

/**
 * Closes a client without waiting for a Redis that is unreachable: sends `quit` if the client is connected, and closes
 * the socket after `deadlineMs` milliseconds at the latest.
 */
export async function closeClient(client: Redis, deadlineMs = 500): Promise<void> {
  if (client.status === 'end') return;
  try {
    if (client.status === 'ready') await withDeadline(client.quit(), deadlineMs, 'closing a connection');
  } catch {
    // It was closed elsewhere, or Redis did not answer.
  } finally {
    client.disconnect();
  }
}

/**
 * Converts an error after the first connect for the person at the terminal: to an AppError (exit code 1) if Redis
 * caused it. Any other error is a bug and is returned unchanged.
 */
export function explainFailure(thrown: unknown, address: RedisAddress): Error {
  const error = toError(thrown);
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const redisFailed =
    ['ReplyError', 'AbortError', 'MaxRetriesPerRequestError'].includes(error.name) ||
    /^E[A-Z]+$/.test(code) ||
    /^(Command timed out|Connection is closed|Stream isn't writeable)/.test(error.message);
  if (error instanceof AppError || !redisFailed) return error;
  const remedy = error.message.startsWith('NOPERM')
    ? '; expected the rights that docs/deployment.md lists'
    : /^(MOVED|CROSSSLOT) /.test(error.message)
      ? '; expected redis+cluster:// in the URL of a Cluster'
      : '';
  const text = `Redis at ${displayAddress(address)} failed: ${error.message}${remedy}`;
  return new AppError(text, 1, { cause: error });
}
