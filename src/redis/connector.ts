import { readFileSync } from 'node:fs';
import { Redis, type RedisOptions } from 'ioredis';
import { AppError, toError } from '../errors';
import { MasterLocator } from './masterLocator';
import { displayAddress, type RedisAddress } from './address';

/**
 * What a connection is for decides how it behaves when Redis is slow or away:
 *
 * - `queue`: BullMQ's. Waits for Redis as long as it takes and resends what was not answered, as BullMQ expects; a
 *   resent command of a worker is harmless, since the lock token of its job refuses it the second time.
 * - `control`: everything else. Fails at once when Redis is away, never resends.
 * - `lease`: as `control`, with a time-out well within the lease. Queued or resent, a renewal would take effect after
 *   its leader has been deposed.
 * - `subscriber`: receives published messages; subscribes again by itself.
 * - `commit`: one socket, one life. A WATCH belongs to its socket, so this connection never reconnects: an EXEC that
 *   a new socket carried would not be fenced. Nor is a MULTI whose reply was lost ever resent: it may have been
 *   executed.
 */
export type Role = 'queue' | 'control' | 'lease' | 'subscriber' | 'commit';

/** ioredis's options, less the one whose type depends on it. */
type Settings = Omit<RedisOptions, 'replyMapping'>;

const FAIL_FAST: Settings = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
};

const SETTINGS: Record<Role, Settings> = {
  // Longer than BullMQ's longest blocking call (10 s): a socket that swallows bytes is noticed and replaced.
  queue: { maxRetriesPerRequest: null, socketTimeout: 20_000 },
  control: { ...FAIL_FAST, commandTimeout: 5000 },
  lease: { ...FAIL_FAST },
  subscriber: { maxRetriesPerRequest: null },
  commit: { ...FAIL_FAST, retryStrategy: () => null },
};

/** For users who may not ask for INFO. The second is an option that BullMQ looks for. */
const WITHOUT_INFO: Settings & { skipVersionCheck: true } = {
  enableReadyCheck: false,
  skipVersionCheck: true,
};

/**
 * Answers that say: not here. The server has just become a replica, or a slot has moved, or is moving. BullMQ's commands
 * are sent again after the connection has been opened anew; they have done nothing yet.
 */
const NOT_HERE = /^(READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|UNBLOCKED) /;

/** How long a first connection may take, in milliseconds: the commands promise to give up within 5 s. */
const CONNECT_DEADLINE_MS = 2500;

export interface RedisConnectorOptions {
  readonly address: RedisAddress;
  /** Any key that will be asked for: in a Cluster, it tells which of the servers is the one. */
  readonly key: string;
  /** Told of every connection error after the first connect; ioredis reconnects by itself. */
  readonly onError?: (role: Role, error: Error) => void;
}

/** Opens connections to one Redis; the only place that knows how an address becomes a client. */
export class RedisConnector {
  readonly #address: RedisAddress;
  readonly #onError: (role: Role, error: Error) => void;
  readonly #tls: { ca?: Buffer } | undefined;
  readonly #master: MasterLocator | undefined;
  #mayAskInfo: Promise<boolean> | undefined;

  /** @throws AppError (exit code 2) if the certificate of the authority can not be read. */
  constructor({ address, key, onError = () => undefined }: RedisConnectorOptions) {
    this.#address = address;
    this.#onError = onError;
    const { caFile } = address;
    this.#tls = !address.tls ? undefined : caFile === undefined ? {} : { ca: readCertificate(caFile) };
    if (address.kind !== 'single') this.#master = new MasterLocator({ address, key, tls: this.#tls });
  }

  /**
   * A client that is connected and ready.
   *
   * @param overrides `commandTimeout` in milliseconds, say.
   * @throws AppError (exit code 1) naming the address and the reason, after 2.5 s at the latest.
   */
  async connect(role: Role, overrides: Settings = {}): Promise<Redis> {
    const mayAskInfo = await (this.#mayAskInfo ??= this.#askInfo());
    return this.#open(role, { ...(!mayAskInfo && WITHOUT_INFO), ...overrides });
  }

  /**
   * Whether this user may ask for INFO. ioredis does when it connects, to see whether Redis still loads its data, and
   * complains on the console when it may not; BullMQ does to learn the version, and fails.
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
      // ioredis only reports a SELECT that fails, and goes on with database 0: somebody else's data.
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

  /** A client that connects by itself, sooner or later: for a server that may be missing. */
  connectLater(role: Role, overrides: Settings = {}): Redis {
    const client = this.#create(role, { ...WITHOUT_INFO, ...overrides });
    client.on('error', (error) => this.#onError(role, error));
    // It tries again, as its settings say.
    client.connect().catch(() => undefined);
    return client;
  }

  #create(role: Role, overrides: Settings): Redis {
    const { nodes, username, password, db } = this.#address;
    return new Redis({
      ...(this.#master === undefined ? nodes[0]! : { Connector: this.#master.connector }),
      db,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(this.#tls !== undefined && { tls: this.#tls }),
      lazyConnect: true,
      connectTimeout: CONNECT_DEADLINE_MS,
      keepAlive: 5000,
      // Two commands for each connection that tell nobody anything, and that not every user may send.
      disableClientInfo: true,
      // Redis guesses how long it will go on loading its data, and guesses badly; ioredis would wait for as long.
      maxLoadingRetryTime: 100,
      // ioredis keeps a timer of this length for each connection that it ends, and the process with it.
      disconnectTimeout: 200,
      retryStrategy: (attempt) => Math.min(20 * 2 ** Math.min(attempt, 10), 1000),
      reconnectOnError: ({ message }) => NOT_HERE.test(message) && (role === 'queue' ? 2 : true),
      ...SETTINGS[role],
      ...overrides,
    });
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
    throw new AppError(`REDIS_CA_FILE ${file} can not be read: ${toError(error).message}`, 2, {
      cause: error,
    });
  }
}

/**
 * Closes a client without ever waiting for a Redis that is away: `quit` when it can be sent, and in any case the
 * socket is gone after `deadlineMs` milliseconds.
 */
export async function closeClient(client: Redis, deadlineMs = 500): Promise<void> {
  if (client.status === 'end') return;
  const timer = setTimeout(() => client.disconnect(), deadlineMs);
  try {
    if (client.status === 'ready') await client.quit();
  } catch {
    // Closed under us, which is what was wanted.
  } finally {
    clearTimeout(timer);
    client.disconnect();
  }
}

/**
 * What went wrong with Redis once it was connected, for the person at the terminal: an AppError (exit code 1) if Redis is
 * to blame; anything else is a mistake of ours and stays what it is.
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
      ? '; a Cluster is expected to be named by redis+cluster://'
      : '';
  const text = `Redis at ${displayAddress(address)} failed: ${error.message}${remedy}`;
  return new AppError(text, 1, { cause: error });
}
