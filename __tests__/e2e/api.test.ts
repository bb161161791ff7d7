import type { ServerResponse } from 'node:http';
import { resolve } from 'node:path';
import { type FeedServer, startFeedServer } from '../helpers/feedServer';
import { history, upTo } from '../helpers/history';
import { killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const TASK = resolve('examples/api.mjs');
const PAGE_SIZE = 20;
const AWAY = 'the API is not available; trying again';

let redis: RedisServer;
let server: FeedServer | undefined;

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  await killAll();
  await Promise.all([redis.stop(), server?.stop()]);
  server = undefined;
});

const start = (env: Record<string, string> = {}) =>
  startInstance({
    REDISURL: redis.url,
    TASK,
    API_URL: server!.url,
    EVERY_MS: '20',
    LEASE_TTL_MS: '1000',
    KEEP_COMPLETED: '5000',
    ...env,
  });

const generated = async () => Number((await redis.client.hget('{nic}:cursor', 'generated')) ?? 0);

const json = (response: ServerResponse, body: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));

/** Serves items from 1 on in pages; page tokens are opaque to clients. */
function answerPage(url: string, items: number, response: ServerResponse) {
  const token = new URL(url, 'http://host').searchParams.get('page');
  const page = token === null ? 0 : Number(Buffer.from(token, 'base64url').toString());
  const from = page * PAGE_SIZE;
  const numbers = upTo(items).slice(from, from + PAGE_SIZE);
  const hasNext = items > from + PAGE_SIZE;
  const next = hasNext ? Buffer.from(String(page + 1)).toString('base64url') : null;
  json(response, { items: numbers.map((id) => ({ id, name: `item ${id}` })), next });
}

it('each item is generated once and in order by three instances although the generator is killed three times', async () => {
  const state = { items: 200 };
  server = await startFeedServer(({ url }, response) => {
    const chance = Math.random();
    if (chance < 0.03) return response.writeHead(500).end();
    if (chance < 0.06) return response.writeHead(429, { 'retry-after': '0' }).end();
    // The response is cut off within its body.
    if (chance < 0.09) {
      response.writeHead(200, { 'content-length': '1000' }).write('{"items":[');
      return setTimeout(() => response.destroy(), 1);
    }
    answerPage(url!, state.items, response);
  });
  const env = { LOG_LEVEL: 'error', CONCURRENCY: '20' };
  const instances = [start(env), start(env), start(env)];
  const growing = setInterval(() => (state.items += 1), 15);
  try {
    for (let kill = 1, term = 0; kill <= 3; kill++) {
      const leader = await waitFor(async () => {
        const { instance, term: found } = await redis.client.hgetall('{nic}:leader');
        const process = instances.find(({ name }) => name === instance);
        return Number(found ?? 0) > term && process && { process, term: Number(found) };
      }, `a leader after term ${term}`);
      const before = await generated();
      await waitFor(async () => (await generated()) > before, 'items of this term');
      leader.process.signal('SIGKILL');
      instances.push(start(env));
      term = leader.term;
    }
  } finally {
    clearInterval(growing);
  }
  await waitFor(async () => (await generated()) >= state.items, 'the last items');
  const found = await history<{ id: number }>(redis.client);
  expect(found.map(({ message }) => message.id)).toEqual(upTo(state.items));
  expect(found[0]!.message).toEqual({ id: 1, name: 'item 1' });
});

it('waits as long as Retry-After asks after 429 and 503, backs off after 500, and keeps its leadership', async () => {
  const page = (response: ServerResponse) => answerPage('/', 3, response);
  // Two seconds on the server's clock, which differs a lot from the clock of the instance.
  const dates = { date: 'Wed, 01 Jan 2020 00:00:00 GMT', 'retry-after': 'Wed, 01 Jan 2020 00:00:02 GMT' };
  const answers: ((response: ServerResponse) => unknown)[] = [
    (response) => response.writeHead(429, { 'retry-after': '1' }).end(),
    page,
    (response) => response.writeHead(503, dates).end(),
    page,
    (response) => response.writeHead(500).end(),
    (response) => response.writeHead(500).end(),
    page,
  ];
  server = await startFeedServer((_, response) => (answers.shift() ?? page)(response));
  const instance = start();
  await server.requested(7);
  await waitFor(async () => (await generated()) === 3, 'the items');
  const times = server.requests.map(({ at }) => at);
  const gapAfter = (request: number) => times[request]! - times[request - 1]!;
  // Timers can fire a millisecond early.
  expect(gapAfter(1)).toBeGreaterThan(998);
  expect(gapAfter(3)).toBeGreaterThan(1998);
  expect(gapAfter(5)).toBeGreaterThan(498);
  expect(gapAfter(6)).toBeGreaterThan(998);
  const levels = instance.log.filter(({ message }) => message === AWAY).map(({ level }) => level);
  expect(levels).toEqual(['warn', 'warn', 'warn', 'debug']);
  expect(await redis.client.hget('{nic}:leader', 'term')).toBe('1');
});

it('polls at its interval when nothing is new, commits nothing, and stops during a request', async () => {
  const state = { items: 3, isSilent: false };
  server = await startFeedServer(({ url }, response) => {
    if (!state.isSilent) answerPage(url!, state.items, response);
  });
  const instance = start({ EVERY_MS: '200', API_TOKEN: 'Sesame' });
  await server.requested(4);
  const times = server.requests.map(({ at }) => at);
  for (const [index, at] of times.slice(1).entries()) expect(at - times[index]!).toBeGreaterThan(198);
  expect(server.requests[0]!.headers.authorization).toBe('Bearer Sesame');
  expect(instance.log.filter(({ message }) => message === 'committed')).toHaveLength(1);
  // The page grows, and then another page follows it.
  state.items = PAGE_SIZE + 1;
  await waitFor(async () => (await generated()) === PAGE_SIZE + 1, 'the new items');
  expect(JSON.parse((await redis.client.hget('{nic}:cursor', 'cursor'))!)).toEqual({
    page: Buffer.from('1').toString('base64url'),
    seen: [String(PAGE_SIZE + 1)],
  });
  state.isSilent = true;
  await server.requested(server.requests.length + 1);
  instance.signal('SIGTERM');
  expect(await instance.exited).toBe(0);
  expect(JSON.stringify(instance.log)).not.toContain('Sesame');
});

it.each([
  ['a refusal', (response: ServerResponse) => response.writeHead(401).end(), 'answered 401, expected 200'],
  ['another shape', (response: ServerResponse) => json(response, []), 'answered without "items"'],
  [
    'items without ids',
    (response: ServerResponse) => json(response, { items: [{}] }),
    'item 0 of a page has no "id"',
  ],
  ['a page of HTML', (response: ServerResponse) => response.end('<html>'), 'something other than JSON'],
])('steps down after a permanent error: %s', async (_, answer, expected) => {
  server = await startFeedServer((_, response) => answer(response));
  const line = await start().logged(({ level, error }) => level !== 'debug' && error !== undefined);
  expect(JSON.stringify(line)).toContain(JSON.stringify(expected).slice(1, -1));
});

it('refuses to start with exit code 2 and names everything that is wrong in one line', async () => {
  const env = { REDISURL: redis.url, TASK, API_URL: 'https://me:Sesame@host/', EVERY_MS: 'often' };
  const { code, stdout, stderr } = await runCommand([], env);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(
    'API_URL is "https://***@host/", expected an http or https address without user and password; EVERY_MS is "often", expected a whole number',
  );
  expect(stderr).not.toContain('Sesame');
});
