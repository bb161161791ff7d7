import { Job, type Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { JOB_NAME, type Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import { withDeadline } from '../time';

/** A message in the hands of an instance, as Redis has it. */
export interface Delivery {
  readonly id: string;
  readonly attempt: number;
  /** Token of its lock, without which nothing can be done to the message: the holder might have finished it by then. */
  readonly token: string;
}

const HOLDERS = loadScript(__dirname, 'holders');
const DELIVERIES = loadScript(__dirname, 'deliveries');

/** Longest wait for the queue's connection, in milliseconds. */
const QUEUE_TIMEOUT_MS = 5000;

/** The instances that hold active messages. */
export async function holders(client: Redis, keys: Pick<Keys, 'active' | 'job'>): Promise<string[]> {
  return (await client.eval(HOLDERS, 1, keys.active, keys.job(''))) as string[];
}

/** The active messages of one instance; those whose lock has expired are left to BullMQ. */
export async function deliveriesTo(
  instance: string,
  client: Redis,
  keys: Pick<Keys, 'active' | 'job'>,
): Promise<Delivery[]> {
  const found = await client.eval(DELIVERIES, 1, keys.active, keys.job(''), instance);
  return (found as [string, string, string][]).map(([id, attempt, token]) => ({
    id,
    attempt: Number(attempt),
    token,
  }));
}

/**
 * Puts the message back into the queue, where it is next.
 *
 * @throws if its lock has another token by now
 */
export async function requeue(queue: Queue, { id, token }: Delivery): Promise<void> {
  // Made of its id alone: the message might be large.
  const job = new Job(queue, JOB_NAME, undefined, {}, id);
  await withDeadline(job.moveToWait(token), QUEUE_TIMEOUT_MS, 'requeueing a message');
}
