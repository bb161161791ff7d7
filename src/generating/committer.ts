/*
 * Commit: how a batch of messages and its cursor enter Redis, together, once, and only by the newest leader.
 *
 *     WATCH leader cursor id → read them → is the term mine? is the position the one I left? → MULTI … EXEC
 *
 * The fence is the WATCH: whoever takes a newer term writes `leader`, and whatever EXEC is still under way from an
 * older term, however long it was held up, is then refused by Redis itself.
 *
 * Never resent, always looked up. When the outcome of an EXEC is unknown, because the connection broke or the answer
 * was an error, the connection is thrown away and the position is read on a new one: if it has moved to where this
 * batch leads, the batch is in; if it has not, the batch is committed again. Should the first EXEC still arrive in
 * between, it changes the watched cursor, and the second is refused.
 *
 * A transaction of Redis is all or nothing only up to its first command: if one fails, the others still take effect.
 * Two things make it whole. The plain HSET makes Redis refuse the EXEC as one when it is out of memory or disk, which
 * it checks for each command that is queued, but does not see inside scripts. And the cursor is written by a script
 * that first counts whether the job ids have advanced by as much as there are messages; after a SCRIPT FLUSH, say,
 * BullMQ's own scripts all fail with NOSCRIPT, and the cursor must not move.
 *
 * A leader's first read comes after it has taken its term, never before: then no older commit can still land behind
 * its back.
 */
import { Job, type JobsOptions, type Queue, SpanKind, type Telemetry, TelemetryAttributes } from 'bullmq';
import type { Redis } from 'ioredis';
import { DeposedError, toError } from '../errors';
import type { Keys } from '../keys';
import type { Logger } from '../logger';
import { sleep } from '../time';
import { JOB_NAME, openQueue } from '../redis/queue';
import { type Position, type Snapshot, watchAndRead } from './position';

/** A batch, checked and turned to JSON. */
export interface EncodedBatch {
  readonly messages: readonly unknown[];
  readonly cursorJson: string;
}

export type CommitResult =
  | { readonly outcome: 'committed'; readonly position: Position }
  /** As many messages wait as may. Nothing was committed. */
  | { readonly outcome: 'full' }
  /** Redis holds another position than the one given, in the same term: it has lost writes. Nothing was committed. */
  | { readonly outcome: 'diverged' };

export interface CommitterOptions {
  /** Opens a connection of the role `commit`. */
  connect(): Promise<Redis>;
  readonly keys: Keys;
  readonly instance: string;
  readonly term: { readonly number: number; readonly signal: AbortSignal; isTrusted(): boolean };
  readonly jobOptions: JobsOptions;
  readonly maxBacklog: number;
  /** A commit is where the trace of its messages begins. */
  readonly telemetry?: Telemetry | undefined;
  readonly logger: Logger;
}

const COMMIT_SCRIPT = `
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] then
  return redis.error_reply('INCOMPLETE the messages of this commit were not added')
end
return redis.call('HSET', KEYS[1], 'cursor', ARGV[2], 'generated', ARGV[3])
`;

interface Connection {
  readonly client: Redis;
  /** Whether keys are being watched. */
  watches: boolean;
  readonly queue: Queue;
  readonly bull: Awaited<ReturnType<Queue['getBackend']>['client']>;
}

/** Commits the batches of one term. Every method rejects with a DeposedError once a newer term exists. */
export class Committer {
  readonly #options: CommitterOptions;
  #connection: Connection | undefined;
  /** What was watched and read right behind the last EXEC. */
  #ahead: Promise<Snapshot> | undefined;
  #reported: string | undefined;

  constructor(options: CommitterOptions) {
    this.#options = options;
    // At the end of the term whatever is still under way is cut off: what is not sent yet never will be.
    options.term.signal.addEventListener('abort', () => this.#disconnect(), { once: true });
  }

  /** Where to go on from. Waits for Redis for as long as the term lasts. */
  async position(): Promise<Position> {
    this.#ahead = undefined;
    return this.#persist(() => this.#watchAndRead());
  }

  /** Adds the batch after `from`, which must be the position that the last commit or read gave. */
  async commit(from: Position, batch: EncodedBatch): Promise<CommitResult> {
    const to: Position = { generated: from.generated + batch.messages.length, cursorJson: batch.cursorJson };
    let attempted = false;
    return this.#persist<CommitResult>(async () => {
      for (;;) {
        const found = await this.#snapshot();
        if (!samePosition(found, from)) {
          if (attempted && samePosition(found, to)) return { outcome: 'committed', position: to };
          return { outcome: 'diverged' };
        }
        if (found.waiting >= this.#options.maxBacklog) return { outcome: 'full' };
        attempted = true;
        if (await this.#execute(found, to, batch)) return { outcome: 'committed', position: to };
      }
    });
  }

  async #snapshot(): Promise<Snapshot> {
    const ahead = await this.#ahead;
    this.#ahead = undefined;
    // Handled messages make room: whether the queue is full is to be seen now.
    return ahead === undefined || ahead.waiting >= this.#options.maxBacklog ? this.#watchAndRead() : ahead;
  }

  async #watchAndRead(): Promise<Snapshot> {
    const connection = (this.#connection ??= await this.#connect());
    const { keys, instance, term } = this.#options;
    const reading = watchAndRead(connection.client, keys, connection.watches);
    connection.watches = true;
    const { leader, ...snapshot } = await reading;
    if (leader.instance === instance && leader.term === String(term.number)) return snapshot;
    throw new DeposedError(
      `term ${term.number} is over: ${leader.instance ?? 'nobody'} holds term ${leader.term ?? 0}`,
    );
  }

  /** False: something watched has changed, and nothing was committed. */
  async #execute(found: Snapshot, to: Position, batch: EncodedBatch): Promise<boolean> {
    const { queue } = this.#connection!;
    // BullMQ's own methods to add jobs hand the trace on to them; a transaction made by hand has to do it itself.
    return queue.trace(SpanKind.PRODUCER, 'commit', queue.name, (span, context) => {
      span?.setAttributes({ [TelemetryAttributes.BulkCount]: batch.messages.length });
      return this.#transact(found, to, batch, context);
    });
  }

  async #transact(found: Snapshot, to: Position, batch: EncodedBatch, trace?: string): Promise<boolean> {
    const { keys, term } = this.#options;
    const connection = this.#connection!;
    const { client, bull, queue } = connection;
    const jobOptions = {
      ...this.#options.jobOptions,
      ...(trace !== undefined && { telemetry: { metadata: trace } }),
    };
    if (!term.isTrusted())
      throw new DeposedError(`term ${term.number} is over: its trust deadline has passed`);
    const lastJobId = found.lastJobId + batch.messages.length;
    // All of it in one write. Not as an ioredis pipeline: that has a function made for each of BullMQ's scripts first,
    // which takes longer than a small commit.
    client.stream.cork();
    const queued: Promise<unknown>[] = [client.multi({ pipeline: false })];
    queued.push(client.hset(keys.cursor, 'term', term.number));
    for (const message of batch.messages) {
      queued.push(new Job(queue, JOB_NAME, message, jobOptions).addJob(bull));
    }
    // Sent as text, never by its hash: it must not be missing when it is needed.
    queued.push(
      client.eval(COMMIT_SCRIPT, 2, keys.cursor, keys.jobCounter, lastJobId, to.cursorJson!, to.generated),
    );
    const executing = client.exec();
    connection.watches = false;
    // What the next commit needs travels right behind, and saves it a round trip. However long it is until then: what is
    // watched stays watched.
    this.#ahead = this.#watchAndRead();
    this.#ahead.catch(() => undefined);
    // What could not be queued makes the EXEC fail.
    for (const reply of queued) reply.catch(() => undefined);
    client.stream.uncork();
    const results = await executing;
    if (results === null) return false;
    for (const [error] of results) if (error) throw error;
    return true;
  }

  /** Repeats `attempt` on a new connection until it gives an answer, or the term is over. */
  async #persist<T>(attempt: () => Promise<T>): Promise<T> {
    const { term, logger } = this.#options;
    for (let pause = 10; ; pause = Math.min(pause * 2, 500)) {
      try {
        const result = await attempt();
        this.#reported = undefined;
        return result;
      } catch (thrown) {
        this.#disconnect();
        const error = toError(thrown);
        if (error instanceof DeposedError) throw error;
        if (!term.signal.aborted) {
          // Said once: Redis may be away for long.
          if (this.#reported !== error.message)
            logger.warn('a commit did not go through: looking up how far it came', { error });
          this.#reported = error.message;
          await sleep(pause, term.signal);
        }
        if (term.signal.aborted) throw new DeposedError(`term ${term.number} is over`, { cause: error });
      }
    }
  }

  async #connect(): Promise<Connection> {
    const client = await this.#options.connect();
    if (this.#options.term.signal.aborted) {
      client.disconnect();
      throw new DeposedError(`term ${this.#options.term.number} is over`);
    }
    const queue = openQueue(client, this.#options.keys, this.#options.telemetry);
    try {
      return { client, watches: false, queue, bull: await queue.getBackend().client };
    } catch (error) {
      client.disconnect();
      throw error;
    }
  }

  #disconnect(): void {
    this.#connection?.client.disconnect();
    this.#connection = undefined;
    this.#ahead = undefined;
  }
}

function samePosition(a: Position, b: Position): boolean {
  return a.generated === b.generated && a.cursorJson === b.cursorJson;
}
