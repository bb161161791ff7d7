/*
 * What Bull Board may change.
 *
 * It is made for queues that anybody adds to. Here, messages enter the queue by the generator's commit alone, together
 * with the cursor, and are handled as they were generated. So only those changes pass that leave all of this true, by a list
 * of what may rather than of what may not: a route that a later version of Bull Board brings is refused until looked at.
 */

type Rule = 'always' | 'finished' | 'failed';

/** By method and route. `finished` and `failed`: only for messages that are completed or have failed; that have failed. */
const ALLOWED: Readonly<Record<string, Rule | undefined>> = {
  'put /api/queues/pause': 'always',
  'put /api/queues/resume': 'always',
  'put /api/queues/:queueName/pause': 'always',
  'put /api/queues/:queueName/resume': 'always',
  // What is completed is done: a retry would count and handle it twice.
  'put /api/queues/:queueName/retry/:queueStatus': 'failed',
  'put /api/queues/:queueName/:jobId/retry': 'failed',
  // Many at a time, only what is done. One by one, whatever somebody has looked at.
  'put /api/queues/:queueName/clean/:queueStatus': 'finished',
  'put /api/queues/:queueName/:jobId/clean': 'always',
  // The next attempt of a message, now or at another time.
  'put /api/queues/:queueName/promote': 'always',
  'put /api/queues/:queueName/:jobId/promote': 'always',
  'patch /api/queues/:queueName/:jobId/delay': 'always',
};

const STATES: Readonly<Record<Exclude<Rule, 'always'>, readonly string[]>> = {
  finished: ['completed', 'failed'],
  failed: ['failed'],
};

export interface BoardChange {
  readonly method: string;
  /** As Bull Board declares it, with names in place of values. */
  readonly route: string;
  /** The status that a change of many is about. */
  readonly status: string | undefined;
  /** The state that the job in question is in now. */
  readonly jobState: () => Promise<string | undefined>;
}

/** Why a change is refused; undefined if it may be made. */
export async function refusalOf({
  method,
  route,
  status,
  jobState,
}: BoardChange): Promise<string | undefined> {
  if (method === 'get') return undefined;
  const rule = ALLOWED[`${method} ${route}`];
  if (rule === undefined) {
    return 'Refused: messages enter this queue by the generator’s commit alone, and are handled as they were generated.';
  }
  if (rule === 'always') return undefined;
  const state = status ?? (await jobState());
  // Of a job that is not there, Bull Board itself has something to say.
  if (state === undefined || state === 'unknown' || STATES[rule].includes(state)) return undefined;
  return rule === 'failed'
    ? 'Refused: only a message that has failed can be retried.'
    : 'Refused: many at a time, only messages that are completed or have failed can be removed.';
}
