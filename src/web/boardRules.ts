/*
 * What Bull Board can change.
 *
 * Bull Board is made for queues that anyone adds to. Here, messages enter the queue only by the generator's commit,
 * together with the cursor, and are handled as they were generated. Only changes that preserve this are allowed. The
 * list names allowed routes rather than forbidden ones, so that routes of later versions are refused until somebody has
 * examined them.
 */

type Rule = 'always' | 'finished' | 'failed';

/** By method and route. `finished`: only for completed or failed messages. `failed`: only for failed messages. */
const ALLOWED: Readonly<Record<string, Rule | undefined>> = {
  'put /api/queues/pause': 'always',
  'put /api/queues/resume': 'always',
  'put /api/queues/:queueName/pause': 'always',
  'put /api/queues/:queueName/resume': 'always',
  // A retry of a completed message would count and handle it twice.
  'put /api/queues/:queueName/retry/:queueStatus': 'failed',
  'put /api/queues/:queueName/:jobId/retry': 'failed',
  // In bulk: only finished messages. One at a time: any message, since a person has examined it.
  'put /api/queues/:queueName/clean/:queueStatus': 'finished',
  'put /api/queues/:queueName/:jobId/clean': 'always',
  // The time at which a delayed message is retried.
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
  /** The route as Bull Board declares it, with parameter names. */
  readonly route: string;
  /** The status of the messages that a change of many affects. */
  readonly status: string | undefined;
  /** The current state of the job. */
  readonly jobState: () => Promise<string | undefined>;
}

/** Returns why a change is refused; undefined if it is allowed. */
export async function refusalOf({
  method,
  route,
  status,
  jobState,
}: BoardChange): Promise<string | undefined> {
  if (method === 'get') return undefined;
  const rule = ALLOWED[`${method} ${route}`];
  if (rule === undefined) {
    return 'Refused: messages enter this queue only by the generator’s commit, and are handled as they were generated.';
  }
  if (rule === 'always') return undefined;
  const state = status ?? (await jobState());
  // Bull Board itself reports a job that does not exist.
  if (state === undefined || state === 'unknown' || STATES[rule].includes(state)) return undefined;
  return rule === 'failed'
    ? 'Refused: only failed messages can be retried.'
    : 'Refused: only completed or failed messages can be removed in bulk.';
}
