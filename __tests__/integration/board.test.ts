import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { type Job, Queue, Worker } from 'bullmq';
import { AppError } from '../../src/errors';
import { LiveView } from '../../src/group/liveView';
import { keysOf } from '../../src/keys';
import { LeaseNodes } from '../../src/leadership/lease';
import { ErrorLog } from '../../src/errorLog/errorLog';
import { refusalOf } from '../../src/web/boardRules';
import { type Board, startBoard } from '../../src/web/server';
import type { BoardSettings } from '../../src/web/settings';
import { ask, basic } from '../helpers/http';
import { type RedisServer, startRedis } from '../helpers/redisServer';

const PREFIX = '{nic}';

/** The globals before any board started. */
const GLOBALS = [Request, Response];

let redis: RedisServer;
let queue: Queue;
let healthy = true;
let logged: { level: string; message: string; fields: Record<string, unknown> }[] = [];
const opened: { close(): Promise<unknown> }[] = [];

beforeAll(async () => {
  redis = await startRedis();
  queue = new Queue('messages', { connection: redis.client, prefix: PREFIX });
});

afterAll(async () => {
  await queue.close();
  await redis.stop();
});

beforeEach(() => {
  healthy = true;
  logged = [];
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((thing) => thing.close()));
  await queue.obliterate({ force: true });
});

describe('served files and pages', () => {
  test('the page loads, with the namespace in its title, and every asset that it names', async () => {
    const board = await start();
    const page = await ask(board, '/board');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toMatch('text/html');
    expect(page.body).toContain('<title>node-instances-communication · nic</title>');

    const assets = [...page.body.matchAll(/(?:src|href)="([^"]+\.\w+)"/g)].map(([, path]) => path as string);
    expect(assets.filter((path) => path.endsWith('.js')).length).toBeGreaterThan(1);
    expect(assets.filter((path) => path.endsWith('.css')).length).toBeGreaterThan(0);
    for (const path of assets) {
      const asset = await ask(board, new URL(path, 'http://board/board/').pathname);
      expect([path, asset.status]).toEqual([path, 200]);
      if (path.endsWith('.js')) expect(asset.headers['content-type']).toMatch('javascript');
    }
  });

  test('the page requests nothing from other hosts', async () => {
    const board = await start();
    const { body, headers } = await ask(board, '/board');
    expect(body).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(headers['content-security-policy']).toContain("default-src 'none'");
    expect(headers['content-security-policy']).not.toContain('http');
  });

  test('pages within the board can be opened directly', async () => {
    const board = await start();
    for (const path of ['/board/', '/board/queue/messages', '/board/queue/messages/1']) {
      expect((await ask(board, path)).status).toBe(200);
    }
  });

  test('assets load from any working directory, including one that is changed later', async () => {
    const before = process.cwd();
    try {
      const board = await start();
      process.chdir(tmpdir());
      expect((await ask(board, '/board/static/images/logo.svg')).status).toBe(200);
      const another = await start();
      process.chdir('/');
      expect((await ask(another, '/board/static/images/logo.svg')).status).toBe(200);
      expect((await ask(another, '/board')).status).toBe(200);
    } finally {
      process.chdir(before);
    }
  });

  test('files outside the assets are not served', async () => {
    const board = await start();
    for (const path of [
      '/board/static/../index.ejs',
      '/board/static/%2e%2e/index.ejs',
      '/board/static/..%2findex.ejs',
    ]) {
      expect((await ask(board, path)).status).toBe(404);
    }
  });

  test('the API lists the queue of this prefix and its jobs', async () => {
    const job = await queue.add('message', { text: 'hello' });
    const board = await start();
    const { status, body, headers } = await ask(
      board,
      '/board/api/queues?activeQueue=messages&page=1&jobsPerPage=10',
    );
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    const { queues } = JSON.parse(body) as { queues: Record<string, unknown>[] };
    expect(queues).toEqual([
      expect.objectContaining({
        name: 'messages',
        readOnlyMode: false,
        counts: expect.objectContaining({ waiting: 1 }) as unknown,
        jobs: [expect.objectContaining({ id: job.id, data: { text: 'hello' } })],
      }),
    ]);
    expect(await redis.client.exists(`${PREFIX}:messages:${job.id}`)).toBe(1);
  });

  test('the page carries the name and the mark of this program and links back to the live view', async () => {
    const board = await start();
    const { body } = await ask(board, '/board/queue/messages');
    expect(body).toContain('href="/">← Live view</a>');
    expect(body).toContain('"miscLinks":[{"text":"Live view of the group","url":"/"}]');
    for (const path of ['/live/board.css', '/live/icon.svg']) {
      expect(body).toContain(path);
      expect([path, (await ask(board, path)).status]).toEqual([path, 200]);
    }
  });

  test('/healthz follows the health of the process', async () => {
    const board = await start();
    expect(await ask(board, '/healthz')).toMatchObject({ status: 200, body: 'ok' });
    healthy = false;
    expect(await ask(board, '/healthz')).toMatchObject({ status: 503 });
  });

  test('an unknown path is answered with 404 without repeating it', async () => {
    const { status, body, headers } = await ask(await start(), '/%3Cscript%3Ealert(1)%3C/script%3E?<b>');
    expect(status).toBe(404);
    expect(body).not.toMatch(/script|<b>/);
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['x-frame-options']).toBe('DENY');
    expect(headers['referrer-policy']).toBe('no-referrer');
  });

  test('the global Request and Response are unchanged', async () => {
    await start();
    expect([Request, Response]).toEqual(GLOBALS);
  });
});

describe('changes', () => {
  test('a failed job is retried', async () => {
    const id = await failedJob();
    const { status } = await ask(await start(), retry(id), { method: 'PUT' });
    expect(status).toBe(204);
    expect(await queue.getJobCounts('waiting', 'failed')).toEqual({ waiting: 1, failed: 0 });
  });

  test('a read-only board refuses a retry and says that it is read-only', async () => {
    const id = await failedJob();
    const board = await start({ readOnly: true });
    for (const method of ['PUT', 'POST', 'PATCH', 'DELETE']) {
      expect(await ask(board, retry(id), { method })).toMatchObject({ status: 403 });
    }
    expect((await ask(board, '/board/api/queues/pause', { method: 'PUT' })).status).toBe(403);
    expect(await queue.getJobCounts('waiting', 'failed')).toEqual({ waiting: 0, failed: 1 });
    expect(await queue.isPaused()).toBe(false);
    const { queues } = JSON.parse((await ask(board, '/board/api/queues')).body) as { queues: unknown[] };
    expect(queues).toEqual([expect.objectContaining({ readOnlyMode: true, allowRetries: false })]);
  });

  test('changes from a foreign origin are refused, reads are not', async () => {
    const id = await failedJob();
    const board = await start();
    const foreign = [
      'http://evil.example',
      'null',
      `https://127.0.0.1:${board.port}`,
      `http://127.0.0.1:${board.port + 1}`,
      `http://localhost:${board.port}`,
    ];
    for (const origin of foreign) {
      const { status } = await ask(board, retry(id), { method: 'PUT', headers: { origin } });
      expect([origin, status]).toEqual([origin, 403]);
      expect((await ask(board, '/board', { headers: { origin } })).status).toBe(200);
    }
    for (const site of ['cross-site', 'same-site']) {
      const answer = await ask(board, retry(id), { method: 'PUT', headers: { 'sec-fetch-site': site } });
      expect([site, answer.status]).toEqual([site, 403]);
    }
    expect(await queue.getJobCounts('failed')).toEqual({ failed: 1 });
  });

  test('its own origin is accepted under any host name, also behind a proxy that terminates TLS', async () => {
    const board = await start();
    const own = [
      { host: `127.0.0.1:${board.port}`, origin: `http://127.0.0.1:${board.port}` },
      {
        host: `localhost:${board.port}`,
        origin: `http://localhost:${board.port}`,
        'sec-fetch-site': 'same-origin',
      },
      { host: `[::1]:${board.port}`, origin: `http://[::1]:${board.port}` },
      { host: 'board.localhost', origin: 'https://board.localhost', 'x-forwarded-proto': 'https' },
    ];
    for (const headers of own) {
      const id = await failedJob();
      expect((await ask(board, retry(id), { method: 'PUT', headers })).status).toBe(204);
      await queue.obliterate({ force: true });
    }
  });

  test('a change needs neither a body nor a Content-Length', async () => {
    const board = await start();
    const socket = connect(board.port, '127.0.0.1').setEncoding('utf8');
    socket.write('PUT /board/api/queues/pause HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [string];
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1.1 200/);
    expect(await queue.isPaused()).toBe(true);
    await queue.resume();
  });

  test('a body arrives with and without a Content-Length', async () => {
    const board = await start();
    for (const how of ['content-length', 'transfer-encoding']) {
      const id = await failedJob();
      const body = JSON.stringify({ errors: [{ id, failedAt: '' }] });
      const length = how === 'content-length' ? String(body.length) : 'chunked';
      const headers = { [how]: length, 'content-type': 'application/json' };
      const answer = await ask(board, '/live/errors/retry', { method: 'POST', body, headers });
      expect([how, answer.status, answer.body]).toEqual([how, 200, '{"done":1,"left":[]}']);
    }
    expect(await queue.getJobCounts('waiting', 'failed')).toEqual({ waiting: 2, failed: 0 });
  });

  test('a body of more than 1 MiB is refused with and without a Content-Length', async () => {
    const board = await start();
    const body = JSON.stringify({ all: true, padding: 'x'.repeat(1024 * 1024) });
    for (const path of ['/board/api/queues/messages/add', '/live/errors/retry']) {
      for (const headers of [{ 'content-length': String(body.length) }, { 'transfer-encoding': 'chunked' }]) {
        const json = { ...headers, 'content-type': 'application/json' };
        expect((await ask(board, path, { method: 'POST', body, headers: json })).status).toBe(413);
      }
    }
  });

  test('headers larger than the Node.js limit are refused', async () => {
    const board = await start();
    expect((await ask(board, '/', { headers: { 'x-long': 'x'.repeat(20_000) } })).status).toBe(431);
  });

  test('a change that would bypass the commit of the generator is refused with a reason', async () => {
    const id = await failedJob();
    const waiting = await queue.add('message', { text: 'waits' });
    const done = await completedJob();
    const board = await start();
    const job = `/board/api/queues/messages/${id}`;
    const refused: [method: string, path: string, body?: object][] = [
      ['POST', '/board/api/queues/messages/add', { name: 'message', data: {}, options: {} }],
      ['PATCH', `${job}/update-data`, { jobData: { text: 'another' } }],
      ['PATCH', `${job}/priority`, { priority: 1 }],
      ['PUT', `${job}/remove-unprocessed-children`],
      ['PUT', '/board/api/queues/messages/empty'],
      ['PUT', '/board/api/queues/messages/obliterate', { force: true }],
      ['PUT', '/board/api/queues/messages/concurrency', { concurrency: 1 }],
      ['PUT', '/board/api/queues/messages/rate-limit', { max: 1, duration: 1000 }],
      ['PUT', '/board/api/queues/messages/rate-limit/release'],
      ['PUT', '/board/api/queues/messages/job-schedulers/x/run'],
      ['PUT', '/board/api/queues/messages/job-schedulers/x/remove'],
      ['PATCH', '/board/api/queues/messages/job-schedulers/x', { every: 1000 }],
      ['PUT', '/board/api/queues/messages/retry/completed'],
      ['PUT', `/board/api/queues/messages/${done}/retry`],
      ['PUT', '/board/api/queues/messages/clean/waiting'],
      ['PUT', '/board/api/queues/messages/clean/wait'],
      ['PUT', '/board/api/queues/messages/clean/active'],
      ['PUT', '/board/api/queues/messages/clean/delayed'],
    ];
    await queue.pause();
    for (const [method, path, body] of refused) {
      const headers = { 'content-type': 'application/json' };
      const answer = await ask(board, path, { method, headers, body: body ? JSON.stringify(body) : '' });
      expect([path, answer.status]).toEqual([path, 403]);
      expect((JSON.parse(answer.body) as { message: string }).message).toMatch(/^Refused: /);
    }
    await queue.resume();
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 1, failed: 1, completed: 1, prioritized: 0 });
    expect((await queue.getJob(id))?.data).toEqual({});
    expect((await queue.getJob(waiting.id!))?.data).toEqual({ text: 'waits' });
    expect([await queue.getGlobalConcurrency(), await queue.getGlobalRateLimit()]).toEqual([null, null]);
  });

  test('every change that Bull Board offers is either listed or refused', async () => {
    const { appRoutes } = jest.requireActual<{ appRoutes: { api: { method: string; route: string }[] } }>(
      resolve('node_modules/@bull-board/api/dist/routes.js'),
    );
    const changes = appRoutes.api.filter(({ method }) => method !== 'get');
    const outcomes = await Promise.all(
      changes.map(async ({ method, route }) => {
        const refusal = await refusalOf({ method, route, status: 'failed', jobState: neverAsked });
        return refusal === undefined ? `${method} ${route}` : undefined;
      }),
    );
    const q = '/api/queues/:queueName';
    expect(outcomes.filter((outcome) => outcome !== undefined).sort()).toEqual(
      [
        ...['put /api/queues/pause', 'put /api/queues/resume', `put ${q}/pause`, `put ${q}/resume`],
        ...[`put ${q}/retry/:queueStatus`, `put ${q}/clean/:queueStatus`, `put ${q}/promote`],
        ...[`put ${q}/:jobId/retry`, `put ${q}/:jobId/clean`, `put ${q}/:jobId/promote`],
        `patch ${q}/:jobId/delay`,
      ].sort(),
    );
  });

  test('jobs and all finished jobs can be removed, and paused and delayed jobs resumed', async () => {
    const [removed, cleaned] = [await failedJob(), await failedJob()];
    await queue.add('message', {}, { delay: 60_000 });
    const board = await start();
    const put = async (path: string) =>
      (await ask(board, `/board/api/queues/${path}`, { method: 'PUT' })).status;
    expect(await put(`messages/${removed}/clean`)).toBe(204);
    expect(await queue.getJob(removed)).toBeUndefined();
    // Bull Board keeps jobs that failed within the last five seconds.
    await redis.client.zadd(`${PREFIX}:messages:failed`, 1, cleaned);
    expect(await put('messages/clean/failed')).toBe(200);
    expect(await put('messages/promote')).toBe(200);
    expect(await put('pause')).toBe(200);
    expect(await queue.isPaused()).toBe(true);
    expect(await put('messages/resume')).toBe(200);
    expect(await queue.getJobCounts()).toMatchObject({ failed: 0, delayed: 0, waiting: 1 });
    // For a missing job, Bull Board itself answers.
    expect(await put('messages/4711/retry')).toBe(404);
  });

  test('an error from BullMQ is returned without its stack, also in development', async () => {
    const env = process.env['NODE_ENV'];
    process.env['NODE_ENV'] = 'development';
    const isPaused = jest.spyOn(queue, 'isPaused').mockRejectedValue(new Error('broken'));
    try {
      const { status, body } = await ask(await start(), '/board/api/queues');
      expect(status).toBe(500);
      expect(JSON.parse(body)).toEqual({ error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' }, message: 'broken' });
      expect(logged.map(({ message }) => message)).toContain('Bull Board failed');
    } finally {
      isPaused.mockRestore();
      process.env['NODE_ENV'] = env;
    }
  });
});

describe('access control', () => {
  test('on loopback, a Host header that is not a loopback name is refused on every path', async () => {
    const board = await start();
    for (const host of [
      'evil.example',
      `evil.example:${board.port}`,
      '127.0.0.1.evil.example',
      'localhost.evil',
      '10.0.0.1',
    ]) {
      for (const path of ['/', '/board', '/board/api/queues', '/healthz']) {
        expect([host, path, (await ask(board, path, { headers: { host } })).status]).toEqual([
          host,
          path,
          403,
        ]);
      }
    }
    for (const host of [
      'localhost',
      'LOCALHOST:3000',
      'nic.localhost:80',
      '127.0.0.1',
      '127.1.2.3:9',
      '[::1]:3000',
    ]) {
      expect([host, (await ask(board, '/healthz', { headers: { host } })).status]).toEqual([host, 200]);
    }
  });

  test('beyond loopback, any Host header is accepted', async () => {
    const board = await start({ host: '0.0.0.0', password: 'secret' });
    expect((await ask(board, '/healthz', { headers: { host: 'board.example' } })).status).toBe(200);
    expect(board.url).toBe(`http://localhost:${board.port}`);
  });

  test('with a password, every path except the health check requires it', async () => {
    const board = await start({ password: 'säcret:1' });
    for (const path of ['/', '/board', '/board/api/queues', '/board/static/favicon.ico', '/nowhere']) {
      const { status, headers } = await ask(board, path);
      expect([path, status]).toEqual([path, 401]);
      expect(headers['www-authenticate']).toMatch(/^Basic realm=/);
    }
    expect((await ask(board, '/healthz')).status).toBe(200);
    expect((await ask(board, '/board', { headers: basic('anyone', 'wrong') })).status).toBe(401);
    expect((await ask(board, '/board', { headers: basic('anyone', '') })).status).toBe(401);
    expect((await ask(board, '/board', { headers: basic('anyone', 'säcret:1') })).status).toBe(200);
    expect((await ask(board, retry('1'), { method: 'PUT' })).status).toBe(401);
  });

  test('with a user as well, both must match', async () => {
    const board = await start({ user: 'ops', password: 'secret' });
    expect((await ask(board, '/board', { headers: basic('ops', 'secret') })).status).toBe(200);
    expect((await ask(board, '/board', { headers: basic('oops', 'secret') })).status).toBe(401);
    expect((await ask(board, '/board', { headers: basic('ops', 'secre') })).status).toBe(401);
  });
});

describe('listening', () => {
  test('if the port is taken, the next free port is used, and the log says so', async () => {
    const blocker = await start();
    const board = await start({ port: blocker.port });
    expect(board.port).toBeGreaterThan(blocker.port);
    expect(board.port).toBeLessThanOrEqual(blocker.port + 20);
    expect(board.url).toBe(`http://127.0.0.1:${board.port}`);
    expect((await ask(board, '/healthz')).status).toBe(200);
    expect(logged.at(-1)).toMatchObject({ level: 'info', fields: { url: board.url, taken: blocker.port } });
  });

  test('the log names the address in use', async () => {
    const board = await start();
    expect(logged).toEqual([{ level: 'info', message: 'board is up', fields: { url: board.url } }]);
  });

  test('when all 21 ports are taken, listening fails and names them', async () => {
    const first = 65_535 - 20 - Math.floor(Math.random() * 2000) - 500;
    for (let port = first; port <= first + 20; port++) await occupy(port);
    const failure = await start({ port: first }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(AppError);
    expect((failure as Error).message).toContain(`${first} to ${first + 20} are all in use`);
  });

  test('an address that this machine does not have fails and says so', async () => {
    await expect(start({ host: '192.0.2.1' })).rejects.toThrow(
      /cannot listen on 192\.0\.2\.1.*EADDRNOTAVAIL/,
    );
  });

  test('close terminates open connections, whatever they are doing, and can be called twice', async () => {
    const board = await start();
    const silent = connect(board.port, '127.0.0.1');
    const halfSent = connect(board.port, '127.0.0.1').setEncoding('utf8');
    const keptAlive = connect(board.port, '127.0.0.1').setEncoding('utf8');
    await Promise.all([silent, halfSent, keptAlive].map((socket) => once(socket, 'connect')));
    keptAlive.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    halfSent.write(
      'POST /board/api/queues/messages/add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{',
    );
    await once(keptAlive, 'data');

    const cut = Promise.all(
      [silent, halfSent, keptAlive].map((socket) =>
        once(
          socket.resume().on('error', () => undefined),
          'close',
        ),
      ),
    );
    const began = performance.now();
    await Promise.all([board.close(), board.close()]);
    expect(performance.now() - began).toBeLessThan(1000);
    await cut;
    await expect(ask(board, '/healthz')).rejects.toThrow('ECONNREFUSED');
  });
});

async function start(settings: Partial<BoardSettings> = {}): Promise<Board> {
  const log = (level: string) => (message: string, fields: Record<string, unknown>) => {
    logged.push({ level, message, fields });
  };
  const keys = keysOf('nic');
  const leases = new LeaseNodes({ nodes: [redis.client], ttlMs: 5000 });
  const errorLog = new ErrorLog(redis.client, queue, keys);
  const board = await startBoard({
    queue,
    group: new LiveView({ client: redis.client, queue, keys, namespace: 'nic', leases, errorLog }),
    instance: 'here',
    settings: { host: '127.0.0.1', port: 0, readOnly: false, ...settings },
    namespace: 'nic',
    logger: { info: log('info'), warn: log('warn') },
    isHealthy: () => healthy,
    readiness: () => Promise.resolve({ ready: healthy, checks: { worker: healthy ? 'ok' : 'has stopped' } }),
    metrics: () => Promise.resolve('nic_leader 0\n'),
  });
  opened.push(board);
  return board;
}

function retry(id: string): string {
  return `/board/api/queues/messages/${id}/retry`;
}

/** Adds a job, waits until it has failed, and returns its id. */
function failedJob(): Promise<string> {
  return handledJob((job) => job.moveToFailed(new Error('it does that'), 'token', false));
}

function completedJob(): Promise<string> {
  return handledJob((job) => job.moveToCompleted('', 'token', false));
}

/** The priority is higher than that of all waiting jobs. */
async function handledJob(handle: (job: Job) => Promise<unknown>): Promise<string> {
  await queue.add('message', {}, { lifo: true });
  const worker = new Worker('messages', null, { connection: redis.client, prefix: PREFIX });
  const job = await worker.getNextJob('token');
  await handle(job);
  await worker.close();
  return job.id as string;
}

const neverAsked = () => Promise.reject(new Error('there is a status'));

async function occupy(port: number): Promise<void> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  opened.push({ close: () => new Promise((resolve) => server.close(resolve)) });
}
