/*
 * Commit: how a batch of messages and its cursor enter Redis, together, exactly once, and only by the newest leader.
 *
 *     WATCH leader cursor paused → read them → is the term mine? is the position the one I left? → MULTI … EXEC
 *
 * The fence is the WATCH: an instance that takes a newer term writes `leader`, and Redis itself then refuses any
 * pending EXEC of an older term, however long it was delayed. In the same way no EXEC succeeds once generation is
 * paused. Keys that other sources write are not watched, so that commits of several sources do not collide.
 *
 * A commit is never resent; its outcome is looked up. When the outcome of an EXEC is unknown, because the connection
 * broke or the reply was an error, the connection is closed and the position is read on a new one. If it has moved to
 * the end of this batch, the batch is committed; if it has not moved, the batch is committed again. If the first EXEC
 * still arrives in between, it changes the watched cursor, and Redis refuses the second.
 *
 * A leader first reads the position after it has taken its term, never before: from then on no older commit can succeed.
 */
import { type JobsOptions, SpanKind, type Telemetry, TelemetryAttributes } from 'bullmq';
import type { Redis } from 'ioredis';
import { DeposedError } from '../errors';
import type { Keys, SourceKeys } from '../keys';
import type { Logger } from '../logging/logger';
import { openQueue } from '../redis/queue';
import { Attempts } from './attempts';
import type { EncodedBatch } from './batch';
import { deletedError, markDeleted, wasDeleted } from './deletedPosition';
import type { Pause } from './pause';
import {
  checkCursor,
  type Position,
  type PositionKeys,
  readPosition,
  samePosition,
  type Snapshot,
} from './position';
import { checkTypes } from './keyTypes';
import { type Connection, execute } from './transaction';

/**
 * A position from which to commit. To save a round trip, it can include what was read right after the EXEC that led to
 * it.
 */
export interface PreparedPosition extends Position {
  readonly ahead?: ReadAhead;
}

/** Valid until the next EXEC on its connection, which ends the WATCH. */
interface ReadAhead {
  readonly connection: Connection;
  readonly execs: number;
  readonly snapshot: Promise<Snapshot>;
}

export type CommitResult =
  | { readonly outcome: 'committed'; readonly position: PreparedPosition }
  /** The backlog is full (MAX_BACKLOG). Nothing was committed. */
  | { readonly outcome: 'full' }
  /** Generation is paused. Nothing was committed. */
  | { readonly outcome: 'paused'; readonly pause: Pause }
  /** In the same term, Redis holds a position other than the given one: it has lost writes. Nothing was committed. */
  | { readonly outcome: 'diverged' };

export interface CommitterOptions {
  /** Opens a connection of the role `commit`. */
  connect(): Promise<Redis>;
  readonly keys: Keys;
  /** Keys of the source: `keys.source(name)`. */
  readonly source: SourceKeys;
  /** Name of the source; undefined without named sources. */
  readonly sourceName?: string | undefined;
  /** Name of each job: the source's name, or JOB_NAME. */
  readonly jobName: string;
  readonly instance: string;
  readonly term: { readonly number: number; readonly signal: AbortSignal; isTrusted(): boolean };
  readonly jobOptions: JobsOptions;
  readonly maxBacklog: number;
  /** The trace of each message begins with its commit. */
  readonly telemetry?: Telemetry | undefined;
  readonly logger: Logger;
}

/** Commits the batches of one term. Every method rejects with a DeposedError once a newer term exists. */
export class Committer {
  readonly #options: CommitterOptions;
  readonly #positionKeys: PositionKeys;
  #connection: Connection | undefined;
  readonly #attempts: Attempts;
  /** The connection on which the position known here was last read or written. */
  #seenOn: Connection | undefined;
  #isDeleted = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#positionKeys = { source: options.source, keys: options.keys, name: options.sourceName };
    this.#attempts = new Attempts(options.term, options.logger, () => this.#disconnect());
    // Close all connections at the end of the term, so that nothing that is not yet sent is ever sent.
    options.term.signal.addEventListener('abort', () => this.#disconnect(), { once: true });
  }

  /** How long the pending commit has waited for an answer, in milliseconds; 0 if none is pending. */
  get waitingMs(): number {
    return this.#attempts.waitingMs;
  }

  /** What must be repaired in Redis before anything can be committed. */
  get problem(): string | undefined {
    return this.#attempts.problem;
  }

  /** Reads the position to continue from. Waits for Redis until the term ends. */
  async position(): Promise<PreparedPosition & { readonly pause?: Pause | undefined }> {
    return this.#attempts.persist(async () => {
      const { generated, cursorJson, pause, isStored } = await this.#read();
      if (!isStored && (await wasDeleted(this.#connection!.client, this.#positionKeys)))
        throw deletedError(this.#positionKeys);
      checkCursor(this.#positionKeys, { generated, cursorJson });
      this.#seenOn = this.#connection;
      return { generated, cursorJson, pause };
    });
  }

  /** Adds the batch after `from`, the position that the last commit or read returned. */
  async commit(from: PreparedPosition, batch: EncodedBatch): Promise<CommitResult> {
    const to: Position = { generated: from.generated + batch.messages.length, cursorJson: batch.cursorJson };
    let { ahead } = from;
    let attempted = false;
    return this.#attempts.persist<CommitResult>(async () => {
      for (;;) {
        const found = await this.#readAfter(ahead);
        ahead = undefined;
        if (!samePosition(found, from)) {
          if (attempted && samePosition(found, to)) return { outcome: 'committed', position: to };
          if (!found.isStored) await this.#checkDeleted(from);
          return { outcome: 'diverged' };
        }
        this.#seenOn = this.#connection;
        if (found.pause) return { outcome: 'paused', pause: found.pause };
        // After an attempt with an unknown outcome, it would be wrong to report that nothing was committed.
        if (!attempted && found.waiting >= this.#options.maxBacklog) return { outcome: 'full' };
        attempted = true;
        const next = await this.#execute(to, batch);
        if (next !== undefined) return { outcome: 'committed', position: { ...to, ahead: next } };
      }
    });
  }

  /** Returns the snapshot that was read ahead if it is still decisive; otherwise reads a new one. */
  async #readAfter(ahead: ReadAhead | undefined): Promise<Snapshot> {
    const isValid = ahead?.connection === this.#connection && ahead?.execs === ahead?.connection.execs;
    if (ahead === undefined || !isValid) return this.#read();
    const found = await ahead.snapshot;
    // Read again: handled messages make room, and a pause can end.
    return found.pause || found.waiting >= this.#options.maxBacklog ? this.#read() : found;
  }

  /** @throws StateError if the position is missing but was present on this very connection */
  async #checkDeleted(known: Position): Promise<void> {
    if (!this.#isDeleted && this.#seenOn !== this.#connection) return;
    const { term, instance } = this.#options;
    if (!this.#isDeleted)
      await markDeleted(this.#connection!.client, this.#positionKeys, {
        term: term.number,
        who: instance,
        known,
      });
    this.#isDeleted = true;
    throw deletedError(this.#positionKeys, known);
  }

  async #read(): Promise<Snapshot> {
    const connection = (this.#connection ??= await this.#connect());
    const { instance, term } = this.#options;
    // A WATCH stays in effect: if a key has changed since, Redis refuses the EXEC, and the position is read again.
    const reading = readPosition(connection.client, this.#positionKeys, !connection.watches);
    connection.watches = true;
    const { leader, ...snapshot } = await reading;
    if (leader.instance === instance && leader.term === String(term.number)) return snapshot;
    throw new DeposedError(
      `term ${term.number} is over: ${leader.instance ?? 'nobody'} holds term ${leader.term ?? 0}`,
    );
  }

  /** Returns what was read after the EXEC; undefined if a watched key had changed and nothing was committed. */
  async #execute(to: Position, batch: EncodedBatch): Promise<ReadAhead | undefined> {
    const connection = this.#connection!;
    const { queue } = connection;
    const { term, jobName } = this.#options;
    // BullMQ's own methods that add jobs propagate the trace; this transaction has to do it itself.
    return queue.trace(SpanKind.PRODUCER, 'commit', queue.name, async (span, trace) => {
      span?.setAttributes({ [TelemetryAttributes.BulkCount]: batch.messages.length });
      if (!term.isTrusted()) {
        throw new DeposedError(`term ${term.number} is over: its trust deadline has passed`);
      }
      let ahead: ReadAhead | undefined;
      const committed = await execute(connection, {
        ...{ keys: this.#positionKeys, term: term.number, jobName, batch, to },
        jobOptions: {
          ...this.#options.jobOptions,
          ...(trace !== undefined && { telemetry: { metadata: trace } }),
        },
        onWritten: () => {
          // Read what the next commit needs right after the EXEC. The keys stay watched until then.
          ahead = { connection, execs: connection.execs, snapshot: this.#read() };
          ahead.snapshot.catch(() => undefined);
        },
      });
      return committed ? ahead : undefined;
    });
  }

  async #connect(): Promise<Connection> {
    const { term, keys, telemetry } = this.#options;
    const client = await this.#options.connect();
    try {
      if (term.signal.aborted) throw new DeposedError(`term ${term.number} is over`);
      if (this.#attempts.wasRefused) await checkTypes(client, this.#positionKeys);
      const queue = openQueue(client, keys, telemetry);
      const backend = queue.getBackend();
      return { client, queue, backend, bull: await backend.client, watches: false, execs: 0 };
    } catch (error) {
      client.disconnect();
      throw error;
    }
  }

  #disconnect(): void {
    this.#connection?.client.disconnect();
    this.#connection = undefined;
  }
}
