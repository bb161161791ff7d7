import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { toError } from '../errors';
import type { RedisAddress, RedisNode } from './address';

export interface MasterQuestionOptions {
  /** Of Sentinels or of a Cluster. */
  readonly address: RedisAddress;
  /** Any key of the group; it determines the slot. */
  readonly key: string;
  readonly tls: ConnectionOptions | undefined;
}

export interface MasterAnswer {
  readonly master: RedisNode;
  /** Grows with each failover; 0 if unknown. */
  readonly epoch: number;
  /** Other nodes that can be queried from now on. */
  readonly nodes?: readonly RedisNode[];
}

/** Timeout of connecting to a node, and of its answer, in milliseconds. */
const QUERY_TIMEOUT_MS = 1000;

/** Queries a Sentinel or a node of a Cluster for the master. */
export class MasterQuestion {
  readonly #options: MasterQuestionOptions;
  #slot: number | undefined;

  constructor(options: MasterQuestionOptions) {
    this.#options = options;
  }

  /** Queries a node on a connection that is used once. */
  async askOnce(node: RedisNode): Promise<MasterAnswer> {
    const client = this.clientOf(node);
    let reason: Error | undefined;
    client.on('error', (error) => (reason ??= error));
    try {
      await client.connect();
      return await this.ask(client, node);
    } catch (error) {
      throw this.#explain(reason ?? toError(error));
    } finally {
      client.disconnect();
    }
  }

  /** Sentinels have their own users and passwords. */
  #explain(error: Error): Error {
    const refused =
      /^(WRONGPASS|NOAUTH|NOPERM)/.test(error.message) && this.#options.address.kind === 'sentinel';
    if (!refused) return error;
    const text = `a Sentinel refused the user or password (SENTINEL_USER, SENTINEL_PASSWORD): ${error.message}`;
    return new Error(text, { cause: error });
  }

  /** Returns a client, not connected yet, that fails fast and never reconnects. */
  clientOf({ host, port }: RedisNode): Redis {
    const { address, tls } = this.#options;
    const sentinel = address.kind === 'sentinel';
    const username = sentinel ? address.sentinelUsername : address.username;
    const password = sentinel ? address.sentinelPassword : address.password;
    const client = new Redis({
      host,
      port,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls !== undefined && { tls }),
      lazyConnect: true,
      disableClientInfo: true,
      connectTimeout: QUERY_TIMEOUT_MS,
      commandTimeout: QUERY_TIMEOUT_MS,
      disconnectTimeout: 100,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    client.on('error', () => undefined);
    return client;
  }

  ask(client: Redis, node: RedisNode): Promise<MasterAnswer> {
    return this.#options.address.kind === 'sentinel'
      ? this.#askSentinel(client)
      : this.#askNode(client, node);
  }

  async #askSentinel(client: Redis): Promise<MasterAnswer> {
    const { master } = this.#options.address;
    const [found, fields] = (await Promise.all([
      client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master!),
      // Only this command returns the epoch. The address that it returns remains the old one for a while.
      client.call('SENTINEL', 'MASTER', master!).catch(() => []),
    ])) as [[string, string] | null, string[]];
    if (found === null) throw new Error(`the Sentinels know no master named "${master}"`);
    const epoch = Number(fields[fields.indexOf('config-epoch') + 1] ?? 0);
    return { master: { host: found[0], port: Number(found[1]) }, epoch };
  }

  async #askNode(client: Redis, asked: RedisNode): Promise<MasterAnswer> {
    const slot = (this.#slot ??= await client.cluster('KEYSLOT', this.#options.key));
    // If the name is missing or a question mark, use the name under which the node was reached.
    const ranges = (await client.cluster('SLOTS')).map(([from, to, ...servers]) => {
      const nodes = servers.map(([host, port]) => ({
        host: !host || host === '?' ? asked.host : host,
        port,
      }));
      return { from, to, nodes };
    });
    // The master comes first, followed by its replicas.
    const master = ranges.find(({ from, to }) => from <= slot && slot <= to)?.nodes[0];
    if (master === undefined) throw new Error(`no node of the Cluster serves slot ${slot}`);
    return { master, epoch: 0, nodes: ranges.flatMap(({ nodes }) => nodes) };
  }
}
