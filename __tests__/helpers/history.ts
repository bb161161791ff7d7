import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';

/** Returns all jobs of a namespace in any state, in order: job ids with their messages. */
export async function history<Message>(
  client: Redis,
  namespace = 'nic',
): Promise<{ id: number; message: Message }[]> {
  const prefix = `{${namespace}}:messages:`;
  const last = Number((await client.get(`${prefix}id`)) ?? 0);
  const jobs: { id: number; message: Message }[] = [];
  for (let from = 1; from <= last; from += 1000) {
    const pipeline = client.pipeline();
    const ids = Array.from({ length: Math.min(1000, last - from + 1) }, (_, index) => from + index);
    for (const id of ids) pipeline.hget(`${prefix}${id}`, 'data');
    const replies = await pipeline.exec();
    replies!.forEach(([error, data], index) => {
      if (error) throw error;
      if (data !== null) jobs.push({ id: ids[index]!, message: JSON.parse(data as string) as Message });
    });
  }
  return jobs;
}

/** Returns the number of jobs in each state. */
export async function jobCounts(client: Redis, namespace = 'nic') {
  const queue = new Queue('messages', {
    connection: client,
    prefix: `{${namespace}}`,
    skipMetasUpdate: true,
  });
  const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'completed', 'failed');
  return counts as { wait: number; active: number; delayed: number; completed: number; failed: number };
}

/** Returns the numbers from 1 to `last`. */
export const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);
