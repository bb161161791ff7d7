import { resolve } from 'node:path';
import { type FeedServer, startFeedServer } from '../helpers/feedServer';
import { history, upTo } from '../helpers/history';
import { type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const TASK = resolve('examples/feed.mjs');

let redis: RedisServer;
let server: FeedServer | undefined;

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  await killAll();
  await Promise.all([redis.stop(), server?.stop()]);
});

/** Serves RSS, newest entries first, with an ETag, and sometimes answers with an error. */
async function serveGrowing(state: { entries: number }): Promise<FeedServer> {
  return startFeedServer(({ headers }, response) => {
    const etag = `"${state.entries}"`;
    if (Math.random() < 0.1) return response.writeHead(503).end();
    if (headers['if-none-match'] === etag) return response.writeHead(304, { etag }).end();
    const items = upTo(state.entries)
      .reverse()
      .map((number) => {
        const date = new Date(Date.UTC(2024, 0, 1, 0, 0, number)).toUTCString();
        return `<item><guid>entry ${number}</guid><title>Entry ${number}</title><pubDate>${date}</pubDate></item>`;
      });
    response.writeHead(200, { etag, 'content-type': 'application/rss+xml' });
    response.end(`<rss version="2.0"><channel><title>Feed</title>${items.join('')}</channel></rss>`);
  });
}

it('1,000 entries and new ones each become a message once and in order although generators are killed and paused', async () => {
  const state = { entries: 1000 };
  server = await serveGrowing(state);
  // Logging a line for each entry and instance would take most of the time.
  const env = {
    REDISURL: redis.url,
    TASK,
    URL: server.url,
    EVERY_MS: '20',
    LEASE_TTL_MS: '1000',
    LOG_LEVEL: 'error',
  };
  const start = () => startInstance({ ...env, CONCURRENCY: '20', KEEP_COMPLETED: '5000' });
  const generated = async () => Number((await redis.client.hget('{nic}:cursor', 'generated')) ?? 0);
  const leaderAfter = (term: number) =>
    waitFor(async () => {
      const leader = await redis.client.hgetall('{nic}:leader');
      const instance = instances.find(({ name }) => name === leader['instance']);
      return Number(leader['term'] ?? 0) > term && instance && { instance, term: Number(leader['term']) };
    }, `a leader after term ${term}`);

  const instances: InstanceProcess[] = [start(), start(), start()];
  let leader = await leaderAfter(0);
  const growing = setInterval(() => (state.entries += 1), 20);
  try {
    // The first fault is meant to strike between the two batches of the 1,000 entries.
    await waitFor(async () => (await generated()) > 0, 'the first entries');
    for (const fault of ['SIGKILL', 'SIGSTOP', 'SIGKILL'] as const) {
      leader.instance.signal(fault);
      if (fault === 'SIGKILL') instances.push(start());
      const struck = leader.instance;
      leader = await leaderAfter(leader.term);
      if (fault === 'SIGSTOP') struck.signal('SIGCONT');
      const target = state.entries + 10;
      await waitFor(async () => (await generated()) >= target, `${target} entries`);
    }
  } finally {
    clearInterval(growing);
  }

  await waitFor(async () => (await generated()) >= state.entries, 'the last entries');
  const found = await history<{ id: string }>(redis.client);
  expect(found.map(({ message }) => message.id)).toEqual(upTo(state.entries).map((n) => `entry ${n}`));
  expect(found[0]!.message).toEqual({
    id: 'entry 1',
    title: 'Entry 1',
    url: null,
    publishedAt: '2024-01-01T00:00:01.000Z',
  });
});

it('the generator keeps leadership while the server is down', async () => {
  server = await startFeedServer((_, response) => response.writeHead(500).end());
  const instance = startInstance({ REDISURL: redis.url, TASK, URL: server.url, EVERY_MS: '10' });
  await instance.logged('the feed cannot be read: trying again');
  await server.requested(4);
  server.answer = (_, response) => response.end('[{"id":"1"}]');
  await instance.logged('new entry');
  expect(await redis.client.hget('{nic}:leader', 'term')).toBe('1');
  const said = instance.log.filter(({ message }) => message === 'the feed cannot be read: trying again');
  expect(said.map(({ level }) => level)).toEqual(['warn', ...said.slice(1).map(() => 'debug')]);
});

it('refuses to start with exit code 2 and names everything that is wrong in one line', async () => {
  const { code, stdout, stderr } = await runCommand([], { REDISURL: redis.url, TASK, EVERY_MS: 'often' });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toBe(
    `error: TASK ${TASK} cannot be loaded: URL is not set, expected the http or https address of a feed; EVERY_MS is "often", expected a whole number of milliseconds from 1 to 2147483647\n`,
  );
});
