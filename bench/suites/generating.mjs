// How fast messages are added to the queue, in batches of several sizes, one batch after another.
import { bullmq, generator } from '../contenders/contenders.mjs';
import { figure, interleave, table } from '../reporting/figures.mjs';
import { measure } from '../measuring/measure.mjs';

const CONTENDERS = [generator, bullmq];
/** Batch size to number of messages. */
const COUNTS = { 1: 5000, 10: 20_000, 100: 50_000, 500: 80_000, 1000: 80_000 };

export async function generating({ server, rounds, quick, scale, progress }) {
  const batches = Object.keys(COUNTS)
    .map(Number)
    .filter((batch) => !quick || batch !== 100);
  const figures = [];
  for (const batch of batches) {
    const count = Math.max(1, Math.ceil((COUNTS[batch] * scale) / batch)) * batch;
    const warmUp = Math.max(1, Math.ceil(count / 4 / batch)) * batch;
    const of = await interleave(
      rounds,
      CONTENDERS,
      async (contender) => {
        const result = await measure(server, contender, 'generate', { batch, count, warmUp, bytes: 100 });
        return { ...result, job: await jobOf(server) };
      },
      (text) => progress.say(`generating ${batch} at a time: ${text}`),
    );
    insistOnEqual(of('generator', 'job')[0], of('bullmq', 'job')[0]);
    for (const { name, label } of CONTENDERS) {
      figures.push(
        figure(
          `generating.${batch}.${name}`,
          `${label}, batches of ${batch}`,
          'messages/s',
          of(name, 'rate'),
          {
            against: of('bullmq', 'rate'),
            also: { 'CPU µs': of(name, 'cpuUs'), 'Redis CPU µs': of(name, 'redisUs') },
          },
        ),
      );
    }
  }
  const about =
    'Messages of 100 bytes that nobody handles, one batch after the other, after a quarter as many to warm up. The ' +
    'instance commits each batch with its cursor, fenced, and listens to the events as leaders do; BullMQ alone ' +
    'adds them with `queue.add` (batches of 1) and `queue.addBulk`, and their jobs are equal.';
  return [table('Generating', about, figures)];
}

/** Returns the stored fields of the first job, without those that differ from run to run. */
async function jobOf({ client }) {
  const job = await client.hgetall('{nic}:messages:1');
  delete job.timestamp;
  return job;
}

/** Comparing different jobs would be meaningless. */
function insistOnEqual(ours, theirs) {
  const [a, b] = [ours, theirs].map((job) => JSON.stringify(Object.entries(job).sort()));
  if (a !== b) throw new Error(`the jobs differ: an instance makes ${a}, BullMQ alone is told to make ${b}`);
}
