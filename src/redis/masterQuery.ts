import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { toError } from '../errors';
import type { RedisAddress, RedisNode } from './address';

export interface MasterQuestionOptions {
  /** Of Sentinels or of a Cluster. */
  readonly address: RedisAddress;
  /** Any key of the group: it tells the slot. */
  readonly key: string;
  readonly tls: ConnectionOptions | undefined;
}

export interface MasterAnswer {
  readonly master: RedisNode;
  /** Grows with each failover; 0 where it is not told. */
  readonly epoch: number;
  /** Who else can be asked from now on. */
  readonly nodes?: readonly RedisNode[];
}

/** How long a node may take to connect, and then to answer, in milliseconds. */
const ASK_MS = 1000;

/** The question to a Sentinel or to a node of a Cluster: where is the master? */
export class MasterQuestion {
  readonly #options: MasterQuestionOptions;
  #slot: number | undefined;

  constructor(options: MasterQuestionOptions) {
    this.#options = options;
  }

  /** Asks on a connection for this one question. */
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

  /** Sentinels have users and passwords of their own. */
  #explain(error: Error): Error {
    const refused =
      /^(WRONGPASS|NOAUTH|NOPERM)/.test(error.message) && this.#options.address.kind === 'sentinel';
    if (!refused) return error;
    const text = `a Sentinel refused the user or password (SENTINEL_USER, SENTINEL_PASSWORD): ${error.message}`;
    return new Error(text, { cause: error });
  }

  /** A client, yet to be connected, that fails fast and never connects again. */
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
      connectTimeout: ASK_MS,
      commandTimeout: ASK_MS,
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
      // The epoch is told by this one alone. The address that it tells is the old one for some while longer.
      client.call('SENTINEL', 'MASTER', master!).catch(() => []),
    ])) as [[string, string] | null, string[]];
    if (found === null) throw new Error(`the Sentinels know no master named "${master}"`);
    const epoch = Number(fields[fields.indexOf('config-epoch') + 1] ?? 0);
    return { master: { host: found[0], port: Number(found[1]) }, epoch };
  }

  async #askNode(client: Redis, asked: RedisNode): Promise<MasterAnswer> {
    const slot = (this.#slot ??= await client.cluster('KEYSLOT', this.#options.key));
    // Without a name, or with a question mark for one: the name under which it was reached.
    const ranges = (await client.cluster('SLOTS')).map(([from, to, ...servers]) => {
      const nodes = servers.map(([host, port]) => ({
        host: !host || host === '?' ? asked.host : host,
        port,
      }));
      return { from, to, nodes };
    });
    // The master comes first, its replicas after it.
    const master = ranges.find(({ from, to }) => from <= slot && slot <= to)?.nodes[0];
    if (master === undefined) throw new Error(`no node of the Cluster serves slot ${slot}`);
    return { master, epoch: 0, nodes: ranges.flatMap(({ nodes }) => nodes) };
  }
}
