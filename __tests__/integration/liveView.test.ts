import { Queue, Worker } from 'bullmq';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { LiveView } from '../../src/group/liveView';
import { keysOf } from '../../src/keys';
import { LeaseNodes } from '../../src/leadership/lease';
import { generatorRole } from '../../src/leadership/role';
import { takeTerm } from '../../src/leadership/term';
import { ErrorLog } from '../../src/errorLog/errorLog';
import { RedisConnector } from '../../src/redis/connector';
import { parseRedisUrl } from '../../src/redis/address';
import { LiveFeed } from '../../src/web/liveFeed';
import type { LiveErrorDetails, LiveState } from '../../src/group/live';
import { type Board, startBoard } from '../../src/web/server';
import type { BoardSettings } from '../../src/web/settings';
import { ask, basic, type EventStreamReader, type Frame, openEvents } from '../helpers/http';
import { killAll, startInstance } from '../helpers/instance';
import { freePort, type RedisServer, startRedis } from '../helpers/redisServer';
import { silentLogger } from '../helpers/silentLogger';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;
let cleanUps: (() => unknown)[];

beforeEach(async () => {
  redis = await startRedis();
  cleanUps = [];
});

afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
  await killAll();
  await redis.stop();
});

/** Starts a board with the real state of the group, and counts the reads of the state. */
async function start(settings: Partial<BoardSettings> = {}) {
  const connector = new RedisConnector({ address: parseRedisUrl(redis.url), key: keys.source().lease });
  const [client, connection] = await Promise.all([connector.connect('control'), connector.connect('queue')]);
  cleanUps.push(
    () => client.disconnect(),
    () => connection.disconnect(),
  );
  const queue = new Queue('messages', { connection, prefix: '{nic}', skipMetasUpdate: true });
  queue.on('error', () => undefined);
  const leases = new LeaseNodes({ nodes: [client], ttlMs: 5000 });
  const lease = leases.lease(keys.source().lease);
  const errorLog = new ErrorLog(client, queue, keys);
  const group = new LiveView({ client, queue, keys, namespace: 'nic', leases, errorLog });
  let reads = 0;
  const board: Board = await startBoard({
    queue,
    groupSource: { client, queue, keys, namespace: 'nic', leases },
    group: {
      read: () => (reads++, group.read()),
      retry: (which) => group.retry(which),
      clear: (which) => group.clear(which),
      details: (id) => group.details(id),
    },
    settings: { host: '127.0.0.1', port: 0, readOnly: false, ...settings },
    namespace: 'nic',
    instance: 'here',
    logger: silentLogger,
    isHealthy: () => true,
    readiness: () => Promise.resolve({ ready: true, checks: {} }),
    metrics: () => Promise.resolve(''),
  });
  cleanUps.push(() => board.close());
  return { board, queue, errorLog, lease, client, reads: () => reads };
}

async function follow(
  board: Pick<Board, 'port'>,
  headers?: Record<string, string>,
): Promise<EventStreamReader> {
  const stream = await openEvents(board, headers);
  cleanUps.push(() => stream.close());
  return stream;
}

const seen = (stream: EventStreamReader, what: (state: Frame) => unknown, name: string) =>
  waitFor(() => Boolean(what(stream.state)), name, 10_000);

const errorsIn = (stream: EventStreamReader) => stream.state['errors'] as LiveState['errors'] | undefined;

/** Fails all waiting messages with a plain worker, and records the failures like the leader. */
async function failAll(
  { queue, errorLog }: Awaited<ReturnType<typeof start>>,
  ...data: unknown[]
): Promise<void> {
  const jobs = await queue.addBulk(data.map((each) => ({ name: 'message', data: each })));
  const connection = redis.client.duplicate({ maxRetriesPerRequest: null });
  const worker = new Worker('messages', (job) => Promise.reject(new TypeError(String(job.data))), {
    connection,
    prefix: '{nic}',
    name: 'bare',
  });
  await once(worker, 'drained');
  await worker.close();
  connection.disconnect();
  await errorLog.sync(jobs.map(({ id }) => id!));
  await errorLog.reconcile(new AbortController().signal);
}

const change = (
  board: Board,
  action: 'retry' | 'clear',
  body: unknown,
  headers: Record<string, string> = {},
) =>
  ask(board, `/live/errors/${action}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

describe('the page', () => {
  it('is served with every file that it names, and with nothing that its policy would block', async () => {
    const { board } = await start();
    const page = await ask(board, '/');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.body).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:\/\//i);
    const pending = [...page.body.matchAll(/(?:src|href)="(live\/[^"]+)"/g)].map(([, path]) => `/${path}`);
    const loaded = new Set<string>();
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      if (loaded.has(path)) continue;
      loaded.add(path);
      const { status, headers, body } = await ask(board, path);
      expect([path, status]).toEqual([path, 200]);
      const type = path.endsWith('.js')
        ? 'text/javascript'
        : path.endsWith('.css')
          ? 'text/css'
          : 'image/svg+xml';
      expect(headers['content-type']).toContain(type);
      for (const [, name] of body.matchAll(/from '\.\/([^']+)'/g)) pending.push(`/live/${name}`);
    }
    expect([...loaded].filter((path) => path.endsWith('.js')).length).toBeGreaterThan(5);
  });

  it('has a strict content security policy, and Bull Board has its own', async () => {
    const { board } = await start();
    const policyOf = async (path: string) =>
      String((await ask(board, path)).headers['content-security-policy']).split('; ');
    for (const path of ['/', '/live/main.js', '/nowhere', '/boardroom']) {
      const policy = await policyOf(path);
      expect(policy).toEqual(
        expect.arrayContaining([
          "default-src 'none'",
          "script-src 'self'",
          "style-src 'self'",
          "connect-src 'self'",
          "img-src 'self'",
          "base-uri 'none'",
          "form-action 'none'",
          "frame-ancestors 'none'",
          "require-trusted-types-for 'script'",
          "trusted-types 'none'",
        ]),
      );
      expect(policy.join(' ')).not.toMatch(/unsafe|data:|http/);
    }
    for (const path of ['/board', '/board/', '/board/queue/messages', '/board/api/queues']) {
      const policy = await policyOf(path);
      expect(policy).toEqual(
        expect.arrayContaining(["script-src 'self'", "style-src 'self' 'unsafe-inline'"]),
      );
    }
    const { headers } = await ask(board, '/');
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
  });

  it('has no other files', async () => {
    const { board } = await start();
    for (const path of [
      '/live/',
      '/live/nothing.js',
      '/live/../app.js',
      '/live/..%2fapp.js',
      '/live/%2e%2e/app.js',
    ]) {
      expect([path, (await ask(board, path)).status]).toEqual([path, 404]);
    }
  });
});

describe('the stream of events', () => {
  it('starts with the full state and continues with changes', async () => {
    const all = await start();
    await takeTerm(redis.client, keys, generatorRole(keys), 'far');
    await all.lease.acquire();
    await redis.client.hset(
      keys.instances,
      'far',
      `{"seen":${Date.now()},"host":"h","pid":1,"startedAt":"2026-01-01T00:00:00Z"}`,
    );
    const stream = await follow(all.board);
    expect(stream.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    await seen(stream, (state) => state['leader'], 'the first frame');
    expect(Object.keys(stream.frames[0]!).sort()).toEqual(
      [
        ...['now', 'hello', 'leader', 'keeper', 'instances', 'sources', 'messages', 'paused'],
        ...['failures', 'errors', 'terms', 'history'],
      ].sort(),
    );
    expect(stream.state['hello']).toMatchObject({ namespace: 'nic', instance: 'here', readOnly: false });
    expect(stream.state['leader']).toMatchObject({ instance: 'far', term: 1, present: false });
    expect(stream.state['instances']).toEqual([expect.objectContaining({ instance: 'far', state: 'dead' })]);

    const rateIn = ({ sources }: Frame) => (sources as LiveState['sources'])[0]!.rate;
    await seen(stream, (state) => rateIn(state) !== null, 'a rate');
    await all.queue.add('message', {});
    await seen(stream, ({ messages }) => (messages as LiveState['messages']).waiting === 1, 'the message');
    const frame = stream.frames.find(
      ({ messages }) => (messages as LiveState['messages'] | undefined)?.waiting === 1,
    )!;
    expect(Object.keys(frame).sort()).toEqual(['messages', 'now']);
  });

  it('reads Redis once for all of its pages, and not at all without pages', async () => {
    const { board, reads } = await start();
    const pause = () => new Promise((resolve) => setTimeout(resolve, 1300));
    await pause();
    expect(reads()).toBe(0);
    const streams = await Promise.all(Array.from({ length: 30 }, () => follow(board)));
    for (const stream of streams) await seen(stream, ({ now }) => now, 'a first frame');
    const before = reads();
    await pause();
    expect(reads() - before).toBeGreaterThanOrEqual(1);
    expect(reads() - before).toBeLessThanOrEqual(3);
    for (const stream of streams) stream.close();
    await pause();
    const after = reads();
    await pause();
    expect(reads()).toBe(after);
  });

  it('announces a new leader at once, not only at the next poll', async () => {
    const { board, lease } = await start();
    const stream = await follow(board);
    await seen(stream, (state) => state['leader'], 'a first frame');
    const times: number[] = [];
    const held = (await lease.acquire())!;
    for (let term = 1; term <= 5; term++) {
      await takeTerm(redis.client, keys, generatorRole(keys), `i${term}`);
      const at = performance.now();
      board.changed();
      await seen(stream, ({ leader }) => (leader as LiveState['leader']).term === term, `term ${term}`);
      times.push(performance.now() - at);
    }
    expect(times.sort((a, b) => a - b)[2]).toBeLessThan(400);
    await held.release();
    board.changed();
    await seen(stream, ({ leader }) => !('instance' in (leader as object)), 'nobody');
  });

  it('sends heartbeats while nothing happens, so that a page can detect a lost connection', async () => {
    const { board } = await start();
    const stream = await follow(board);
    await seen(stream, ({ now }) => now, 'a first frame');
    const isSign = (frame: Frame) => Object.keys(frame).join() === 'now';
    await waitFor(() => stream.frames.some(isSign), 'a sign of life', 8000);
  });

  it('reports that Redis is unreachable, and sends the full state when it is back', async () => {
    const { board } = await start();
    const stream = await follow(board);
    await seen(stream, ({ now }) => now, 'a first frame');
    await redis.kill();
    await seen(stream, ({ trouble }) => trouble, 'trouble');
    expect(stream.state['trouble']).toEqual({
      text: 'it does not answer',
      since: expect.any(Number) as number,
    });
    // A page that connects now is not shown the old state.
    const another = await follow(board);
    await seen(another, ({ trouble }) => trouble, 'trouble');
    await redis.restart();
    await waitFor(
      () => 'leader' in stream.frames.at(-1)! && !('trouble' in stream.frames.at(-1)!),
      'everything',
    );
  });

  it('announces that the instance stops, and ends', async () => {
    const { board } = await start();
    const stream = await follow(board);
    await seen(stream, ({ now }) => now, 'a first frame');
    await board.close();
    await waitFor(() => stream.ended, 'the end');
    expect(stream.frames.at(-1)).toEqual({ goodbye: true });
  });

  it('accepts 200 pages, refuses the next one, and accepts it when another one leaves', async () => {
    const { board } = await start();
    const streams: EventStreamReader[] = [];
    for (let count = 0; count < 200; count++) streams.push(await follow(board));
    expect(streams.every(({ status }) => status === 200)).toBe(true);
    // A HEAD request has no body to read, so it does not count against the limit.
    expect((await ask(board, '/events', { method: 'HEAD' })).status).toBe(200);
    const answer = await ask(board, '/events');
    expect(answer.status).toBe(503);
    expect(answer.body).toMatch(/Close one, or open the live view of another instance/);
    streams[7]!.close();
    await waitFor(async () => {
      const late = await follow(board);
      if (late.status === 200) return true;
      late.close();
      return false;
    }, 'room');
  });
});

describe('a page that reads too slowly', () => {
  it('receives nothing more until it has read what was sent, and then the newest state', async () => {
    let made = 0;
    const read = () => Promise.resolve({ now: ++made, errors: { total: made } } as never);
    const feed = new LiveFeed({ read, hello: {}, logger: silentLogger, periodMs: 60 });
    cleanUps.push(() => feed.close());
    const reader = feed.open(() => undefined)!.getReader();
    const text = async () => new TextDecoder().decode((await reader.read()).value);
    expect(JSON.parse((await text()).slice(6))).toMatchObject({ now: 1 });
    await waitFor(() => made > 15, 'many looks');
    // One frame was in transit; later ones were dropped.
    expect(JSON.parse((await text()).slice(6))).toMatchObject({ now: 2 });
    const caughtUp = JSON.parse((await text()).slice(6)) as Frame;
    expect(caughtUp['now']).toBeGreaterThan(15);
    expect(caughtUp['hello']).toEqual({});
  });

  it('does not make memory grow, and is eventually disconnected', async () => {
    let [made, cuts] = [0, 0];
    const read = () =>
      Promise.resolve({ now: ++made, errors: { filler: 'x'.repeat(2_000_000) + made } } as never);
    const options = { read, hello: {}, logger: silentLogger, periodMs: 50, stuckMs: Infinity };
    const feed = new LiveFeed(options);
    cleanUps.push(() => feed.close());
    setFlagsFromString('--expose_gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 20; count++) feed.open(() => cuts++);
    await waitFor(() => made > 20, 'many looks');
    collectGarbage();
    // Each page holds one frame, and all share the same one.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000);
    options.stuckMs = 0;
    await waitFor(() => cuts === 20, 'all to be cut off');
    expect(feed.views).toBe(0);
  });
});

describe('changes to errors from a page', () => {
  it('an error can be retried, or cleared together with its message', async () => {
    const all = await start();
    await failAll(all, 'one', 'two', 'three');
    const stream = await follow(all.board);
    await seen(stream, () => errorsIn(stream)?.total === 3, 'three errors');
    expect(errorsIn(stream)!.newest[0]).toMatchObject({
      name: 'TypeError',
      instance: 'bare',
      attempts: 1,
      retriable: true,
    });
    const [third, second, first] = errorsIn(stream)!.newest;
    expect([first, second, third].map((error) => error!.text)).toEqual(['one', 'two', 'three']);

    expect(await change(all.board, 'retry', { errors: [first] })).toMatchObject({
      body: '{"done":1,"left":[]}',
    });
    expect(await change(all.board, 'clear', { errors: [second] })).toMatchObject({
      body: '{"done":1,"left":[]}',
    });
    await seen(stream, () => errorsIn(stream)?.total === 1, 'one error');
    expect(await redis.client.hkeys(keys.errors)).toEqual([third!.id]);
    expect(await all.queue.getJobCounts('wait', 'failed')).toEqual({ wait: 1, failed: 1 });
    expect(await all.queue.getJob(second!.id)).toBeUndefined();
  });

  it('a message that has failed again since it was shown is not cleared', async () => {
    const all = await start();
    await failAll(all, 'one');
    const stream = await follow(all.board);
    await seen(stream, () => errorsIn(stream)?.total === 1, 'an error');
    const [shown] = errorsIn(stream)!.newest;
    await (await all.queue.getJob(shown!.id))!.retry('failed');
    await failAll(all, 'another');
    await all.errorLog.sync([shown!.id]);
    const { body } = await change(all.board, 'clear', { errors: [shown] });
    expect(JSON.parse(body)).toEqual({ done: 0, left: [shown!.id] });
    expect(await redis.client.hlen(keys.errors)).toBe(2);
  });

  it('all errors can be retried or cleared, including those written by hand', async () => {
    const all = await start();
    await failAll(all, ...Array.from({ length: 130 }, (_, index) => index));
    await redis.client.hset(keys.errors, 'by-hand', '{"id":"by-hand","failedAt":"2020-01-01T00:00:00.000Z"}');
    expect(JSON.parse((await change(all.board, 'retry', { all: true })).body)).toEqual({
      done: 130,
      left: [],
    });
    expect(await redis.client.hkeys(keys.errors)).toEqual(['by-hand']);
    await failAll(all, 'again');
    expect(JSON.parse((await change(all.board, 'clear', { all: true })).body)).toEqual({
      done: 132,
      left: [],
    });
    expect(await redis.client.exists(keys.errors)).toBe(0);
    expect(await all.queue.getJobCounts('wait', 'failed')).toEqual({ wait: 0, failed: 0 });
  });

  it('impossible changes are reported, and invalid requests are refused', async () => {
    const { board } = await start();
    const unknown = { errors: [{ id: '4711', failedAt: '' }] };
    expect(JSON.parse((await change(board, 'retry', unknown)).body)).toEqual({ done: 0, left: ['4711'] });
    expect(JSON.parse((await change(board, 'clear', unknown)).body)).toEqual({ done: 0, left: ['4711'] });
    const wrong = [
      ...[
        '',
        'null',
        '[]',
        '"all"',
        '{',
        '{}',
        '{"all":false}',
        '{"errors":[]}',
        '{"errors":[1]}',
        '{"errors":[null]}',
      ],
      ...[
        '{"errors":[{"id":1,"failedAt":""}]}',
        '{"errors":[{"id":"1"}]}',
        '{"all":true,"errors":[]}',
        '{"errors":{}}',
      ],
      JSON.stringify({ errors: Array.from({ length: 1001 }, () => ({ id: '1', failedAt: '' })) }),
    ];
    for (const body of wrong)
      expect([body, (await change(board, 'clear', body)).status]).toEqual([body, 400]);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', '']) {
      const { status } = await change(board, 'clear', { all: true }, { 'content-type': type });
      expect([type, status]).toEqual([type, 415]);
    }
    for (const method of ['GET', 'PUT', 'DELETE']) {
      expect((await ask(board, '/live/errors/clear', { method })).status).toBe(404);
    }
  });
});

const operate = (board: Board, action: string, body: unknown, headers: Record<string, string> = {}) =>
  ask(board, `/operate/${action}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

describe('changes to the group from a page', () => {
  it('a page can pause and resume, and shows since when and by whom', async () => {
    const { board } = await start({ password: 'secret' });
    const headers = basic('ann b', 'secret');
    const stream = await follow(board, headers);
    const pausedIn = () => stream.state['paused'] as LiveState['paused'] | undefined;
    expect((await operate(board, 'pause', { what: 'all' }, headers)).status).toBe(200);
    await seen(stream, () => pausedIn()?.generating && pausedIn()?.handling, 'both');
    const by = { by: 'annb@here', since: expect.stringMatching(/^\d{4}-/) as string };
    expect(pausedIn()).toEqual({ generating: by, handling: by });
    expect((await operate(board, 'resume', { what: 'handling' }, headers)).status).toBe(200);
    await seen(stream, () => pausedIn()?.handling === null, 'handling to go on');
    expect(await redis.client.hkeys(keys.paused)).toEqual(['generating']);
  });

  it('a page can move the cursor if it has the expected value, and shows both positions', async () => {
    const { board } = await start();
    await redis.client.hset(keys.source().cursor, { cursor: '{"line":7}', generated: 7 });
    expect(JSON.parse((await ask(board, '/operate/cursor')).body)).toEqual({
      ...{ cursor: '{"line":7}', generated: 7 },
    });
    const refused = await operate(board, 'cursor', { cursor: '1', expect: '{"line":8}' });
    expect([refused.status, refused.body]).toEqual([
      409,
      'the cursor is {"line":7} now, expected {"line":8}',
    ]);
    const moved = await operate(board, 'cursor', { cursor: '{ "line": 3 }', expect: '{"line":7}' });
    expect(JSON.parse(moved.body)).toEqual({ from: '{"line":7}', to: '{"line":3}' });
    expect(await redis.client.hget(keys.source().cursor, 'cursor')).toBe('{"line":3}');
    expect(await redis.client.hget(keys.source().leader, 'term')).toBe('1');
    expect(JSON.parse((await operate(board, 'cursor', { reset: true })).body)).toEqual({
      ...{ from: '{"line":3}', to: null },
    });
    expect(await redis.client.hexists(keys.source().cursor, 'cursor')).toBe(0);
  });

  it('impossible changes are reported, and unknown ones are refused', async () => {
    const { board } = await start();
    const alone = await operate(board, 'handover', {});
    expect([alone.status, alone.body]).toEqual([
      409,
      expect.stringMatching(/^no instance is the generator now/),
    ]);
    const elsewhere = await operate(board, 'pause', { what: 'generating', source: 'a' });
    expect([elsewhere.status, elsewhere.body]).toEqual([409, expect.stringMatching(/there is no source a/)]);
    for (const [action, body] of [
      ['pause', {}],
      ['pause', { what: 'everything' }],
      ['resume', { what: 'all', source: '../x' }],
      ['cursor', {}],
      ['cursor', { cursor: '{' }],
      ['cursor', { cursor: { line: 1 } }],
      ['cursor', { cursor: '1', reset: true }],
      ['cursor', { cursor: '1', expect: '{' }],
      ['handover', { instance: 'a b' }],
      ['handover', { instance: 1 }],
      ['handover', []],
    ] as const)
      expect([action, body, (await operate(board, action, body)).status]).toEqual([action, body, 400]);
    const type = { 'content-type': 'text/plain' };
    for (const action of ['pause', 'resume', 'cursor', 'handover']) {
      expect((await operate(board, action, {}, type)).status).toBe(415);
      expect((await operate(board, action, {}, { origin: 'http://evil.example' })).status).toBe(403);
      expect((await operate(board, action, {}, { host: 'evil.example' })).status).toBe(403);
    }
    expect(await redis.client.exists(keys.paused, keys.source().cursor, keys.source().leader)).toBe(0);
    const readOnly = await start({ readOnly: true });
    expect((await operate(readOnly.board, 'pause', { what: 'all' })).status).toBe(403);
  });

  it('an error unfolds to its stack and causes', async () => {
    const all = await start();
    await failAll(all, 'one');
    const answer = await ask(all.board, '/live/errors/1');
    const { chain, data } = JSON.parse(answer.body) as LiveErrorDetails;
    expect([chain[0]!.name, chain[0]!.message, data]).toEqual(['TypeError', 'one', '"one"']);
    expect(chain[0]!.stack).toMatch(/^ +at .*liveView\.test/);
    expect((await ask(all.board, '/live/errors/4711')).status).toBe(404);
  });
});

describe('access to the page and to changes', () => {
  it('with a password, requests without it are refused', async () => {
    const { board } = await start({ password: 'secret' });
    for (const path of ['/', '/live/main.js', '/events']) {
      expect([path, (await ask(board, path)).status]).toEqual([path, 401]);
      const { status } = await ask(board, path, { headers: basic('x', 'wrong') });
      expect([path, status]).toEqual([path, 401]);
    }
    expect((await change(board, 'clear', { all: true })).status).toBe(401);
    expect((await follow(board, basic('x', 'secret'))).status).toBe(200);
  });

  it('on loopback, other host names are refused', async () => {
    const { board } = await start();
    const headers = { host: 'evil.example' };
    for (const path of ['/', '/live/main.js', '/events']) {
      expect([path, (await ask(board, path, { headers })).status]).toEqual([path, 403]);
    }
    expect((await change(board, 'clear', { all: true }, headers)).status).toBe(403);
  });

  it('pages of other origins are refused, whatever headers they send', async () => {
    const all = await start();
    await failAll(all, 'one');
    for (const headers of [
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: `http://localhost:${all.board.port}` },
    ] as Record<string, string>[]) {
      expect((await change(all.board, 'retry', { all: true }, headers)).status).toBe(403);
      expect((await change(all.board, 'clear', { all: true }, headers)).status).toBe(403);
    }
    expect(await redis.client.hlen(keys.errors)).toBe(1);
    const own = { origin: `http://127.0.0.1:${all.board.port}`, host: `127.0.0.1:${all.board.port}` };
    expect((await change(all.board, 'clear', { all: true }, own)).status).toBe(200);
  });

  it('in read-only mode the page is served and changes are refused', async () => {
    const all = await start({ readOnly: true });
    await failAll(all, 'one');
    const stream = await follow(all.board);
    await seen(stream, () => errorsIn(stream)?.total === 1, 'the error');
    expect(stream.state['hello']).toMatchObject({ readOnly: true });
    for (const action of ['retry', 'clear'] as const) {
      expect((await change(all.board, action, { all: true })).status).toBe(403);
    }
    expect(await redis.client.hlen(keys.errors)).toBe(1);
  });
});

describe('a group of real instances', () => {
  it('each instance shows the whole group, and a crash and its successor within a second', async () => {
    const names = ['a', 'b', 'c'];
    const instances = new Map<string, { process: ReturnType<typeof startInstance>; port: number }>();
    for (const name of names) {
      const port = await freePort();
      const env = { BOARD: 'on', BOARD_PORT: String(port), DEMO_INTERVAL_MS: '50', DEMO_HANDLE_MS: '50' };
      const process = startInstance({ REDISURL: redis.url, INSTANCE_NAME: name, ...env });
      await process.logged('board is up');
      instances.set(name, { process, port });
    }
    const streams = new Map<string, EventStreamReader>();
    for (const [name, instance] of instances) streams.set(name, await follow(instance));
    const instancesIn = (stream: EventStreamReader) => stream.state['instances'] as LiveState['instances'];
    const leaderIn = (stream: EventStreamReader) => stream.state['leader'] as LiveState['leader'];
    for (const stream of streams.values()) {
      await seen(stream, () => leaderIn(stream)?.instance !== undefined, 'a leader');
      await seen(stream, () => instancesIn(stream).every(({ board }) => board !== undefined), 'boards');
      expect(instancesIn(stream).map(({ instance, state }) => [instance, state])).toEqual(
        names.map((name) => [name, 'alive']),
      );
      for (const { instance, board } of instancesIn(stream)) {
        expect(board).toEqual({ host: '127.0.0.1', port: instances.get(instance)!.port });
      }
      await seen(stream, () => instancesIn(stream).some(({ rate }) => (rate ?? 0) > 0), 'a rate');
    }
    const first = leaderIn(streams.get('a')!).instance!;
    instances.get(first)!.process.signal('SIGKILL');
    const killedAt = performance.now();
    for (const name of names.filter((each) => each !== first)) {
      const stream = streams.get(name)!;
      await seen(
        stream,
        () => leaderIn(stream).term === 2 && leaderIn(stream).present === true,
        'a successor',
      );
      await seen(
        stream,
        () => instancesIn(stream).find((each) => each.instance === first)?.state === 'dead',
        'it gone',
      );
      const terms = stream.state['terms'] as LiveState['terms'];
      expect(terms[0]).toMatchObject({ term: 2, cause: 'crash', instance: leaderIn(stream).instance });
      expect(terms[0]!.vacantMs).toBeGreaterThan(0);
    }
    expect(performance.now() - killedAt).toBeLessThan(1500);
    expect(streams.get(first)!.ended).toBe(true);
  });
});
