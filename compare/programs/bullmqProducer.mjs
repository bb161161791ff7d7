// A producer that adds batches of ten and saves its position. CRASH_AT is the batch in which it crashes between the two;
// SAVE says which of them comes first.
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';

const { env } = process;
const BATCH = 10;
const redis = new Redis(env.REDISURL);
const queue = new Queue('messages', { connection: redis });

for (let batch = 1; ; batch++) {
  const position = Number(await redis.get('position'));
  if (position >= Number(env.TOTAL)) break;
  const messages = Array.from({ length: BATCH }, (_, index) => ({
    name: 'message',
    data: { number: position + index + 1 },
  }));
  const steps = [() => queue.addBulk(messages), () => redis.set('position', position + BATCH)];
  if (env.SAVE === 'first') steps.reverse();
  await steps[0]();
  if (batch === Number(env.CRASH_AT)) process.kill(process.pid, 'SIGKILL');
  await steps[1]();
}
process.exit(0);
