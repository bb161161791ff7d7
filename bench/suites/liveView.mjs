// The cost of open live views to the instance that serves them: its throughput with and without them, in turns.
//
//   node bench/suites/liveView.mjs [views] [rounds]
import { request } from 'node:http';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { killOnExit } from '../../testkit/children.cjs';
import { startInstance } from '../../testkit/instances.cjs';
import { freePort } from '../../testkit/ports.cjs';
import { cpuSeconds, residentMb } from '../../testkit/proc.cjs';
import { startRedis } from '../../testkit/redis.cjs';
import { median } from '../../testkit/statistics.cjs';

const [views, rounds] = [Number(process.argv[2] ?? 100), Number(process.argv[3] ?? 6)];
const TURN_MS = 8000;

killOnExit();
const redis = await startRedis();
const { client } = redis;
const port = await freePort();
const instance = startInstance({
  REDISURL: redis.url,
  TASK: resolve('bench/tasks/saturatingTask.mjs'),
  ...{ BOARD: 'on', BOARD_PORT: String(port), LOG_LEVEL: 'error' },
  ...{ CONCURRENCY: '20', MAX_BACKLOG: '5000', KEEP_COMPLETED: '0' },
});

/** How many messages have been generated and are no longer in the queue. */
async function completed() {
  const [generated, waiting, active] = await Promise.all([
    client.hget('{nic}:cursor', 'generated'),
    client.llen('{nic}:messages:wait'),
    client.llen('{nic}:messages:active'),
  ]);
  return Number(generated) - waiting - active;
}
const residentKb = () => residentMb(instance.process.pid) * 1024;

/** Opens a view and counts the data that it receives. */
function openView() {
  const view = { frames: 0, bytes: 0, close: () => sent.destroy() };
  const sent = request({ port, path: '/events', agent: false }, (response) => {
    response.on('data', (chunk) => {
      view.bytes += chunk.length;
      view.frames += chunk.toString().split('\n\n').length - 1;
    });
    response.on('error', () => {});
  });
  sent.on('error', () => {}).end();
  return view;
}

/** Returns the CPU time of the instance in seconds. */
const cpu = () => cpuSeconds(instance.process.pid);

/** Messages per second, and per second of CPU time of the instance; the latter is valid on a busy machine. */
async function perSecond() {
  const [before, cpuBefore, startedAt] = [await completed(), cpu(), performance.now()];
  await sleep(TURN_MS);
  const handled = (await completed()) - before;
  return { wall: handled / ((performance.now() - startedAt) / 1000), cpu: handled / (cpu() - cpuBefore) };
}

while ((await completed()) < 1000) await sleep(100);
await sleep(5000);
const results = { without: [], with: [], memory: [], frames: [], bytes: [] };
for (let round = 0; round < rounds; round++) {
  results.without.push(await perSecond());
  const before = residentKb();
  const open = Array.from({ length: views }, openView);
  await sleep(1500);
  for (const view of open) Object.assign(view, { frames: 0, bytes: 0 });
  results.with.push(await perSecond());
  results.memory.push((residentKb() - before) / views);
  results.frames.push(median(open.map((view) => view.frames / (TURN_MS / 1000))));
  results.bytes.push(median(open.map((view) => view.bytes / (TURN_MS / 1000))));
  for (const view of open) view.close();
  await sleep(1500);
}
console.log(`messages handled without views, and with ${views} (medians of ${rounds} turns each)`);
for (const [kind, words] of [
  ['wall', 'a second'],
  ['cpu', 'a second of processor time'],
]) {
  const [without, withViews] = [results.without, results.with].map((turns) =>
    turns.map((turn) => turn[kind]),
  );
  const fewer = ((1 - median(withViews) / median(without)) * 100).toFixed(1);
  console.log(
    `  ${words}: ${Math.round(median(without))} and ${Math.round(median(withViews))}, ${fewer} % fewer`,
  );
  console.log(
    `    ${without.map((n, turn) => `${Math.round(n)} ${Math.round(withViews[turn])}`).join(', ')}`,
  );
}
console.log(
  `  each view: ${median(results.frames).toFixed(2)} frames and ${Math.round(median(results.bytes))} bytes a second`,
);
console.log(`  ${Math.round(median(results.memory))} kB resident more for each view (median of the rounds)`);
instance.signal('SIGKILL');
await instance.exited;
await redis.stop();
process.exit(0);
