import { Job, type Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { JOB_NAME, type Keys } from '../keys';
import { loadScript } from '../redis/scripts';
import { withDeadline } from '../time';

/** A message that is active on an instance, as stored in Redis. */
export interface Delivery {
  readonly id: string;
  readonly attempt: number;
  /** Token of its lock. Every change of the message requires it, because the holder might have finished it by then. */
  readonly token: string;
}

const HOLDERS = loadScript(__dirname, 'holders');
const DELIVERIES = loadScript(__dirname, 'deliveries');

/** Longest wait for the queue's connection, in milliseconds. */
const QUEUE_TIMEOUT_MS = 5000;

/** Returns the instances that hold active messages. */
export async function holders(client: Redis, keys: Pick<Keys, 'active' | 'job'>): Promise<string[]> {
  return (await client.eval(HOLDERS, 1, keys.active, keys.job(''))) as string[];
}

/** Returns the active messages of one instance. BullMQ handles those whose lock has expired. */
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
 * Puts the message back at the head of the queue.
 *
 * @throws if its lock has another token by now
 */
export async function requeue(queue: Queue, { id, token }: Delivery): Promise<void> {
  // Created from its id alone, because the message might be large.
  const job = new Job(queue, JOB_NAME, undefined, {}, id);
  await withDeadline(job.moveToWait(token), QUEUE_TIMEOUT_MS, 'requeueing a message');
}
