// Takes the picture of the live view for the README, with three real instances, their own Redis and a real browser. While
// they run, one generator is killed and another one is stopped; each time, a new instance joins.
//
//   npm run screenshot                                        writes docs/live-view.png
//   npm run screenshot -- phone.png 360 780 dark 60           another file, width, height, color scheme, seconds to run
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { killOnExit } from '../testkit/children.cjs';
import { CHROMIUM_ARGS, findChromium } from '../testkit/chromium.cjs';
import { killAll, startInstance } from '../testkit/instances.cjs';
import { freePort } from '../testkit/ports.cjs';
import { startRedis } from '../testkit/redis.cjs';

const [file = 'docs/live-view.png', width = 1200, height = 800, colorScheme = 'light', seconds = 110] =
  process.argv.slice(2);
const executablePath = findChromium(process.env);
if (executablePath === undefined) {
  console.error('Chromium was not found: set CHROMIUM_PATH, or install chromium so that it is on PATH');
  process.exit(1);
}
const part = (share) => sleep(Number(seconds) * 1000 * share);

killOnExit();
const redis = await startRedis();
const { client } = redis;
const boards = new Map();
const instances = new Map();

async function join(name) {
  boards.set(name, await freePort());
  const env = {
    ...{ REDISURL: redis.url, INSTANCE_NAME: name },
    ...{ BOARD: 'on', BOARD_PORT: String(boards.get(name)), LOG_LEVEL: 'error' },
    ...{ CONCURRENCY: '2', ATTEMPTS: '2', BACKOFF_MS: '4000' },
    ...{ DEMO_INTERVAL_MS: '130', DEMO_HANDLE_MS: '1300', DEMO_ERROR_RATE: '0.14' },
  };
  instances.set(name, startInstance(env));
}

/** Ends the generator and starts another instance in its place. */
async function replaceGenerator(signal, name) {
  const generator = await client.hget('{nic}:leader', 'instance');
  instances.get(generator).signal(signal);
  await instances.get(generator).exited;
  instances.delete(generator);
  await part(0.05);
  await join(name);
}

for (const name of ['harbour-1', 'harbour-2', 'harbour-3']) {
  await join(name);
  await sleep(1500);
}
const browser = await chromium.launch({ executablePath, args: CHROMIUM_ARGS });
try {
  await part(0.35);
  await replaceGenerator('SIGKILL', 'harbour-4');
  await part(0.3);
  await replaceGenerator('SIGTERM', 'harbour-5');
  const page = await browser.newPage({
    viewport: { width: Number(width), height: Number(height) },
    colorScheme,
    reducedMotion: 'reduce',
  });
  await page.goto(`http://127.0.0.1:${boards.get([...instances.keys()][0])}/`);
  await page.locator('#errors > li').first().waitFor();
  // Wait until the rates of all instances are known.
  await sleep(Math.max(Number(seconds) * 250, 11_000));
  await page.screenshot({ path: file });
  console.log(`${file}: ${Math.round(statSync(file).size / 1024)} kB`);
} finally {
  await browser.close();
  await killAll();
  await redis.stop();
}
process.exit(0);
