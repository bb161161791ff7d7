import type { Redis } from 'ioredis';
import type { Keys } from '../keys';

/** What Redis knows of the whole group, in a few numbers. */
export interface Figures {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  /** Recorded errors. */
  readonly errors: number;
  /** Messages ever committed. */
  readonly generated: number;
  /** Number of the newest term; 0 before the first. */
  readonly term: number;
}

/** All of them in one round trip: asked for at every scrape, by every instance. */
export async function readFigures(
  client: Pick<Redis, 'pipeline'>,
  keys: Pick<Keys, 'waiting' | 'active' | 'delayed' | 'errors' | 'cursor' | 'leader'>,
): Promise<Figures> {
  const replies = await client
    .pipeline()
    .llen(keys.waiting)
    .llen(keys.active)
    .zcard(keys.delayed)
    .hlen(keys.errors)
    .hget(keys.cursor, 'generated')
    .hget(keys.leader, 'term')
    .exec();
  const values = (replies ?? []).map(([error, value]) => {
    if (error) throw error;
    const count = Number(value);
    // What is no count, and was not written by us, would make prom-client refuse the whole scrape.
    return Number.isFinite(count) && count > 0 ? count : 0;
  });
  const [waiting = 0, active = 0, delayed = 0, errors = 0, generated = 0, term = 0] = values;
  return { waiting, active, delayed, errors, generated, term };
}
