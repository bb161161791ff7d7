// The task for this program: numbers up to TOTAL in batches of BATCH, each EVERY_MS after the previous one. In batch
// CRASH_AT it crashes: after the commit of the batch, or with CRASH=during in the middle of it.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

const { env } = process;
const [total, size, everyMs] = [
  Number(env.TOTAL ?? Infinity),
  Number(env.BATCH ?? 1),
  Number(env.EVERY_MS ?? 0),
];
const crash = () => process.kill(process.pid, 'SIGKILL');
const ledger = env.LEDGER_URL && new Redis(env.LEDGER_URL);

export async function* generate({ cursor = 0, signal }) {
  for (let batch = 1; cursor < total && !signal.aborted; batch++) {
    const messages = Array.from({ length: size }, (_, index) => ({ number: cursor + index + 1 }));
    cursor += size;
    const crashes = batch === Number(env.CRASH_AT);
    if (crashes && env.CRASH === 'during') setImmediate(crash);
    yield { messages, cursor };
    if (crashes) crash();
    await sleep(everyMs);
  }
}

export async function handle() {
  if (!ledger) return;
  const starts = await ledger.rpush('starts', env.INSTANCE_NAME);
  if (starts === 1) await new Promise(() => undefined);
}
