/*
 * Locates the master, behind Sentinels or in a Cluster.
 *
 * All keys of a group are in one slot, so that in a Cluster, too, one server at a time answers for all of them. Every
 */
import { connect as connectSocket, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, type RedisOptions } from 'ioredis';
import { toError } from '../errors';
import { type MasterAnswer, MasterQuestion, type MasterQuestionOptions } from './masterQuery';
import type { RedisNode } from './address';
import { aborted, sleep } from '../time';

/** Interval between two checks, in milliseconds. */
const POLL_INTERVAL_MS = 1000;
/**
 * How long to wait for the other nodes after one has answered, in milliseconds, so that a frozen node delays nothing.
 */
const STRAGGLER_TIMEOUT_MS = 200;

/** Locates the master for all connections to one address, and closes connections to any other server. */
export class MasterLocator {
  readonly #options: MasterQuestionOptions;
  readonly #question: MasterQuestion;
  readonly #sockets = new Map<Socket, string>();
  /** Nodes that can be queried: the given ones, and those of the Cluster that they reported. */
  #learnt: readonly RedisNode[] = [];
  #locating: Promise<RedisNode> | undefined;
  #watching = new AbortController();

  constructor(options: MasterQuestionOptions) {
    this.#options = options;
    this.#question = new MasterQuestion(options);
    this.#watching.abort();
  }

  /** For ioredis: creates the sockets of its clients. */
  get connector(): NonNullable<RedisOptions['Connector']> {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- the class is made for this locator
    const locator = this;
    return class extends MasterConnector {
      constructor(options: unknown) {
        super(locator, (options as RedisOptions).disconnectTimeout ?? 0);
      }
    };
  }

  /** Opens a socket to the master. Rejects if the master cannot be located. */
  async open(): Promise<Socket> {
    const { host, port } = await this.locate();
    const { tls } = this.#options;
    const socket = tls === undefined ? connectSocket({ host, port }) : connectTls({ host, port, ...tls });
    this.#sockets.set(socket, nameOf({ host, port }));
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#watching.abort();
    });
    if (this.#watching.signal.aborted) {
      this.#watching = new AbortController();
      void this.#watch(this.#watching.signal);
    }
    return socket;
  }

  /**
   * Asks all nodes at once where the master is, and trusts the answer with the highest epoch, or otherwise the most
   * frequent answer: after a failover some nodes are outdated, and can stay so while they are partitioned from the
   * others.
   */
  locate(): Promise<RedisNode> {
    return (this.#locating ??= this.#ask().finally(() => (this.#locating = undefined)));
  }

  async #ask(): Promise<RedisNode> {
    const answers: MasterAnswer[] = [];
    let refusal: unknown;
    const enough = new AbortController();
    const asked = this.#nodes.map(async (node) => {
      try {
        answers.push(await this.#question.askOnce(node));
        void sleep(STRAGGLER_TIMEOUT_MS).then(() => enough.abort());
      } catch (error) {
        refusal = error;
      }
    });
    void Promise.all(asked).then(() => enough.abort());
    await aborted(enough.signal);
    const votesOf = ({ master }: MasterAnswer) =>
      answers.filter((answer) => nameOf(answer.master) === nameOf(master)).length;
    const [best] = answers.sort((a, b) => b.epoch - a.epoch || votesOf(b) - votesOf(a));
    if (best === undefined) throw toError(refusal);
    this.#learnt = best.nodes ?? [];
    return best.master;
  }

  get #nodes(): RedisNode[] {
    const all = [...this.#options.address.nodes, ...this.#learnt];
    return [...new Map(all.map((node) => [nameOf(node), node])).values()];
  }

  /** Queries one node after the other, and closes connections to servers that are no longer the master. */
  async #watch(signal: AbortSignal): Promise<void> {
    for (let turn = 0; !signal.aborted; turn++) {
      const nodes = this.#nodes;
      const node = nodes[turn % nodes.length]!;
      const client = this.#question.clientOf(node);
      try {
        await client.connect();
        while (!signal.aborted) {
          await sleep(POLL_INTERVAL_MS, signal);
          if (signal.aborted) break;
          const { master } = await this.#question.ask(client, node);
          if (this.#elsewhere(master).length === 0) continue;
          // A single node can be wrong.
          const agreed = await this.locate();
          for (const socket of this.#elsewhere(agreed)) socket.destroy();
          if (nameOf(agreed) !== nameOf(master)) break;
        }
      } catch {
        // Try the next node.
        await sleep(POLL_INTERVAL_MS / 10, signal);
      } finally {
        client.disconnect();
      }
    }
  }

  #elsewhere(master: RedisNode): Socket[] {
    return [...this.#sockets].filter(([, name]) => name !== nameOf(master)).map(([socket]) => socket);
  }
}

/** A connection's way to the master. It makes one attempt; the connection decides when to retry. */
class MasterConnector extends AbstractConnector {
  readonly #locator: MasterLocator;

  constructor(locator: MasterLocator, disconnectTimeout: number) {
    super(disconnectTimeout);
    this.#locator = locator;
  }

  override async connect(): Promise<Socket> {
    this.connecting = true;
    try {
      const socket = await this.#locator.open();
      socket.once('error', (error) => (this.firstError = error));
      this.stream = socket;
      if (!this.connecting) socket.destroy();
      return socket;
    } catch (error) {
      this.firstError = toError(error);
      // ioredis ends the connection on a rejection; on a closed socket it retries.
      return new Socket().destroy();
    }
  }

  /** Rejects a server that has just ceased to be the master, or is about to become it. */
  override check(info: { role?: string }): boolean {
    return info.role === undefined || info.role === 'master';
  }
}

function nameOf({ host, port }: RedisNode): string {
  return `${host}:${port}`;
}
