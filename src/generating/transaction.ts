/*
 * The transaction of a commit, on a connection of its own:
 *
 *     MULTI, HSET term, note the job counter, add each job, check the counter and write the position, EXEC
 *
 * Redis executes a transaction as a whole only if all of its commands can be queued; a command that fails during EXEC
 * does not stop the others. Two things make the transaction all-or-nothing. The plain HSET makes Redis refuse the
 * entire EXEC when it is out of memory or disk, which Redis checks for each queued command but cannot check inside
 * scripts. And the last script writes the position only if the job counter has advanced by exactly the number of
 * messages.
 *
 * Both scripts are sent as text, never by hash, so that they cannot be missing.
 */
import { Job, type JobsOptions, type Queue, type RedisQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import type { EncodedBatch } from './batch';
import type { Position, PositionKeys } from './position';
import { loadScript } from '../redis/scripts';

const NOTE_SCRIPT = loadScript(__dirname, 'noteCounter');
const WRITE_SCRIPT = loadScript(__dirname, 'writePosition');

export interface Connection {
  readonly client: Redis;
  readonly queue: Queue;
  readonly backend: RedisQueueBackend;
  readonly bull: Awaited<RedisQueueBackend['client']>;
  /** Whether keys are being watched. EXEC ends every WATCH. */
  watches: boolean;
  /** Number of EXECs sent. */
  execs: number;
}

export interface Transaction {
  readonly keys: PositionKeys;
  readonly term: number;
  readonly jobName: string;
  readonly jobOptions: JobsOptions;
  readonly batch: EncodedBatch;
  readonly to: Position;
  /** Called when the EXEC has been written but not yet sent: commands issued here are sent right after it. */
  readonly onWritten: () => void;
}

/**
 * Resolves with false if a watched key has changed, so that Redis refused the EXEC. Rejects if the outcome is unknown.
 */
export async function execute(connection: Connection, transaction: Transaction): Promise<boolean> {
  const { client } = connection;
  // All commands go out in one write. An ioredis pipeline would first create a function for each of BullMQ's scripts.
  client.stream.cork();
  const executing = write(connection, transaction);
  connection.watches = false;
  connection.execs++;
  transaction.onWritten();
  client.stream.uncork();
  const results = await executing;
  if (results === null) return false;
  for (const [error] of results) if (error) throw error;
  return true;
}

function write(
  { client, queue, backend, bull }: Connection,
  { keys, term, jobName, jobOptions, batch, to }: Transaction,
): Promise<[Error | null, unknown][] | null> {
  const { cursor } = keys.source;
  const { jobCounter } = keys.keys;
  const queued: Promise<unknown>[] = [client.multi({ pipeline: false })];
  queued.push(client.hset(cursor, 'term', term));
  queued.push(client.eval(NOTE_SCRIPT, 2, cursor, jobCounter));
  // One job as BullMQ creates it. The others differ only in their data, which is already JSON.
  const envelope = new Job(queue, jobName, {}, jobOptions).asJSON();
  for (const data of batch.messages) {
    queued.push(backend.addJobToTransaction(bull, { ...envelope, data }, ''));
  }
  const { length } = batch.messages;
  queued.push(client.eval(WRITE_SCRIPT, 2, cursor, jobCounter, length, to.cursorJson!, to.generated));
  // A command that could not be queued makes the EXEC fail.
  for (const reply of queued) reply.catch(() => undefined);
  return client.exec();
}
