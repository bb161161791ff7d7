import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type * as Package from '../../src/index';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

// The package as its users load it.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const { createInstance } = require(resolve('dist/index.js')) as typeof Package;

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

const env = (namespace: string) => ({
  REDISURL: redis.url,
  NAMESPACE: namespace,
  BOARD: 'off',
  LOG_LEVEL: 'error',
});

it('an instance runs a task object of this process, and leaves nothing open when it stops', async () => {
  const handled: number[] = [];
  const before = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
  const instance = createInstance<number, number>({
    env: env('embedded'),
    task: {
      async *generate({ cursor = 0 }) {
        await Promise.resolve();
        for (let n = cursor + 1; n <= 20; n++) yield { messages: [n], cursor: n };
      },
      handle: (message) => handled.push(message),
    },
  });
  await Promise.all([instance.start(), instance.start()]);
  await waitFor(() => handled.length === 20, 'all messages');
  expect(handled).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  expect([process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')]).toEqual(before);
  await Promise.all([instance.stop(), instance.stop()]);
  await waitFor(async () => {
    const clients = (await redis.client.client('LIST')) as string;
    return clients.trim().split('\n').length === 1;
  }, 'all connections to be closed');
});

it('two instances in one process are independent: one generates, both handle', async () => {
  const handledBy = new Set<string>();
  const make = (name: string) =>
    createInstance<number, number>({
      env: { ...env('pair'), INSTANCE_NAME: name },
      task: {
        async *generate({ cursor = 0, signal }) {
          for (let n = cursor + 1; !signal.aborted; n++) {
            yield { messages: [n], cursor: n };
            await new Promise((done) => setTimeout(done, 2));
          }
        },
        async handle() {
          handledBy.add(name);
          await new Promise((done) => setTimeout(done, 5));
        },
      },
    });
  const [a, b] = [make('a'), make('b')];
  await Promise.all([a.start(), b.start()]);
  await waitFor(() => handledBy.size === 2, 'both to handle');
  expect(await redis.client.hget('{pair}:leader', 'term')).toBe('1');
  await Promise.all([a.stop(), b.stop()]);
});

it('can be stopped before it is started and while it is starting', async () => {
  const never = createInstance({ env: env('never') });
  await never.stop();
  await never.start();
  expect(await redis.client.exists('{never}:leader')).toBe(0);

  const brief = createInstance({ env: env('brief') });
  const starting = brief.start();
  await brief.stop();
  await starting;
});

it('start rejects with the error, and stop still works', async () => {
  const wrong = createInstance({ env: { ...env('x'), CONCURRENCY: 'many' } });
  await expect(wrong.start()).rejects.toThrow(/CONCURRENCY is "many", expected/);
  await wrong.stop();
  const noTask = createInstance({ env: env('x'), task: { generate: 1 } as never });
  await expect(noTask.start()).rejects.toThrow(/expected two functions, generate and handle/);
  const noRedis = createInstance({ env: { ...env('x'), REDISURL: 'redis://127.0.0.1:1' } });
  await expect(noRedis.start()).rejects.toThrow(/cannot be reached/);
});

interface Line {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

/** Returns a logger that stores its lines. */
function collect() {
  const lines: Line[] = [];
  const at = (level: string) => (message: string, fields: object) =>
    lines.push({ level, message, fields: fields as Line['fields'] });
  return { lines, logger: { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') } };
}

it('unknown options, and loggers that lack a method, are refused with a TypeError', () => {
  const refuse = (options: object) => expect(() => createInstance(options)).toThrow(TypeError);
  refuse({ concurrency: 5 });
  expect(() => createInstance({ concurrency: 5, tasks: 1 } as never)).toThrow(
    'createInstance got the unknown options "concurrency", "tasks", expected only task, env, logger',
  );
  expect(() => createInstance({ logger: { error: 1, info: () => 0 } } as never)).toThrow(
    'createInstance got a logger without error, warn, debug, expected the methods error, warn, info and debug',
  );
  expect(() => createInstance(5 as never)).toThrow('createInstance got number, expected an object');
  createInstance({ logger: console });
});

it('a logger of the host receives every line, and winston is not loaded', async () => {
  const program = `
    const { createInstance } = require(${JSON.stringify(resolve('dist/index.js'))});
    const lines = [];
    const take = (message, fields) => void lines.push([message, fields]);
    const instance = createInstance({
      env: ${JSON.stringify({ ...env('logged'), CONCURENCY: '2' })},
      logger: { error: take, warn: take, info: take, debug() { throw new Error('full'); } },
      task: {
        async *generate({ logger }) { logger.info('from the task', { at: 1 }); yield { messages: [{}], cursor: 1 }; undefined.map(); },
        handle() { throw new TypeError('fetch failed', { cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) }); },
      },
    });
    instance.start().then(async () => {
      const logged = (text) => lines.find(([message]) => message.startsWith(text));
      while (!logged('a message failed') || !logged('generating failed')) await new Promise((done) => setTimeout(done, 20));
      await instance.stop();
      const winston = Object.keys(require.cache).some((file) => file.includes('winston'));
      console.log(JSON.stringify({ lines, winston }));
    });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  expect(stderr).toBe('');
  const { lines, winston } = JSON.parse(stdout) as { lines: [string, Line['fields']][]; winston: boolean };
  expect(winston).toBe(false);
  const fieldsOf = (start: string) => lines.find(([message]) => message.startsWith(start))?.[1];
  expect(
    fieldsOf('CONCURENCY is set, but there is no such setting; did you mean CONCURRENCY?'),
  ).toBeDefined();
  expect(fieldsOf('from the task')).toMatchObject({ at: 1, term: 1 });
  expect(fieldsOf('generating failed')).toMatchObject({
    error: "Cannot read properties of undefined (reading 'map')",
    stack: expect.stringContaining('at Object.generate') as string,
  });
  expect(fieldsOf('a message failed')).toMatchObject({
    ...{ id: '1', error: 'fetch failed', stack: expect.stringContaining('at Object.handle') as string },
    cause: { name: 'Error', message: 'refused', code: 'ECONNREFUSED' },
  });
  for (const [, fields] of lines) expect(fields['namespace']).toBe('logged');
});

it('an instance that is not running says so', async () => {
  const idle = createInstance({ env: env('idle') });
  const check = async (state: string) => {
    expect([idle.isLeader, idle.health()]).toEqual([false, false]);
    expect(await idle.readiness()).toEqual({ ready: false, checks: { instance: state } });
    expect(await idle.metrics()).toBe('');
    await expect(idle.status()).rejects.toThrow(/^the instance has /);
    await expect(idle.errors()[Symbol.asyncIterator]().next()).rejects.toThrow(/^the instance has /);
    expect((await idle.fetch(new Request('http://localhost/'))).status).toBe(503);
  };
  await check('has not started');
  await idle.stop();
  await check('has been stopped');
});

describe('a running instance', () => {
  const { lines, logger } = collect();
  const events: [string, unknown][] = [];
  let instance: Package.Instance;
  const create = () =>
    createInstance<{ n: number }, number>({
      env: { ...env('asked'), INSTANCE_NAME: 'me', ATTEMPTS: '2', BACKOFF_MS: '1' },
      logger,
      task: {
        async *generate({ cursor = 0 }) {
          await Promise.resolve();
          for (let n = cursor + 1; n <= 3; n++) yield { messages: [{ n }], cursor: n };
        },
        handle({ n }) {
          if (n === 2) throw new RangeError('two', { cause: new Error('one') });
        },
      },
    });

  beforeAll(async () => {
    instance = create();
    for (const name of ['elected', 'steppedDown', 'messageFailed', 'ready', 'unready'] as const)
      instance.on(name, (event) => events.push([name, event]));
    instance.once('elected', () => {
      throw new Error('a listener of the host');
    });
    instance.once('messageFailed', () => Promise.reject(new Error('a listener that rejects')));
    const removed = () => events.push(['removed', 0]);
    instance.on('elected', removed).off('elected', removed);
    await instance.start();
    await waitFor(() => events.length >= 3, 'its events');
  });

  afterAll(() => instance.stop());

  const eventOf = (name: string) => events.find(([each]) => each === name)?.[1];

  it('emits its events even if listeners throw', () => {
    expect(eventOf('elected')).toEqual({ role: 'generator', source: null, term: 1 });
    expect(eventOf('messageFailed')).toEqual({
      ...{ id: '2', message: { n: 2 }, attempts: 2 },
      error: {
        ...{
          name: 'RangeError',
          message: 'two',
          stack: expect.stringContaining('RangeError: two\n') as string,
        },
        cause: { name: 'Error', message: 'one', stack: expect.any(String) as string },
      },
    });
    expect(eventOf('ready')).toMatchObject({ ready: true });
    const failures = lines.filter(({ message }) => message.startsWith('a listener of the event'));
    expect(failures.map(({ message, fields }) => [message, fields['error']])).toEqual(
      expect.arrayContaining([
        ['a listener of the event elected failed', 'a listener of the host'],
        ['a listener of the event messageFailed failed', 'a listener that rejects'],
      ]),
    );
    expect(events.filter(([name]) => name === 'removed')).toEqual([]);
  });

  it('answers requests without a board', async () => {
    expect([instance.isLeader, instance.health()]).toEqual([true, true]);
    expect(await instance.readiness()).toMatchObject({ ready: true, checks: { redis: 'ok' } });
    const status = await waitFor(async () => {
      const found = await instance.status();
      return found.errors === 1 && found.messages.completed === 2 && found;
    }, 'the error record');
    expect(status).toMatchObject({
      namespace: 'asked',
      leader: { instance: 'me', term: 1 },
      instances: [{ instance: 'me', leader: true }],
      sources: [{ source: null, cursor: 3, generated: 3 }],
    });
    const records: unknown[] = [];
    for await (const record of instance.errors()) records.push(record);
    expect(records).toEqual([
      {
        ...(eventOf('messageFailed') as object),
        failedAt: expect.any(String) as string,
        instance: 'me',
      },
    ]);
    const metrics = await instance.metrics();
    expect(metrics).toMatch(/^nic_leader\{group="asked"\} 1$/m);
    expect(metrics).toMatch(/^nic_messages_total\{outcome="failed",group="asked"\} 1$/m);
  });

  it('serves the web application under any path', async () => {
    const get = (path: string, init?: RequestInit) =>
      instance.fetch(new Request(`https://admin.example.org${path}`, init));
    for (const prefix of ['', '/nic', '/internal/queue.v2']) {
      const page = await get(`${prefix}/`);
      expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
      expect(await page.text()).not.toMatch(/(?:href|src)="\//);
      expect((await get(`${prefix}/live/main.js`)).status).toBe(200);
      expect((await get(`${prefix}/operate/cursor`)).status).toBe(200);
      expect(await (await get(`${prefix}/readyz`)).json()).toMatchObject({ ready: true });
      const board = await (await get(`${prefix}/board/queue/messages`)).text();
      expect(board).toContain(`<base href="${prefix}/board/"`);
      expect(board).toContain(`href="${prefix}/live/board.css"`);
      const queues = (await (await get(`${prefix}/board/api/queues`)).json()) as {
        queues: { name: string }[];
      };
      expect(queues.queues.map(({ name }) => name)).toEqual(['messages']);
      const asset = /src="(static\/js\/main[^"]+)"/.exec(board)![1]!;
      expect((await get(`${prefix}/board/${asset}`)).status).toBe(200);
    }
    expect((await get('/nowhere')).status).toBe(404);
    const clear = (origin: string) =>
      get('/nic/live/errors/clear', {
        method: 'POST',
        headers: { origin, 'content-type': 'application/json' },
        body: JSON.stringify({ errors: [{ id: '99', failedAt: 'x' }] }),
      });
    expect((await clear('https://elsewhere.example.org')).status).toBe(403);
    expect(await (await clear('https://admin.example.org')).json()).toEqual({ done: 0, left: ['99'] });
    const events = await get('/nic/events');
    const reader = events.body!.getReader();
    const { value } = (await reader.read()) as { value?: Uint8Array };
    expect(new TextDecoder().decode(value)).toMatch(/^data: \{.*"namespace":"asked"/);
    await reader.cancel();
  });

  it('reports that it steps down and is no longer ready when it is stopped', async () => {
    await instance.stop();
    expect(
      events
        .slice(-2)
        .map(([name]) => name)
        .sort(),
    ).toEqual(['steppedDown', 'unready']);
    expect(eventOf('steppedDown')).toEqual(eventOf('elected'));
    expect(lines.at(-1)!.message).toBe('stopped');
  });
});

it('two groups in one process do not mix', async () => {
  const seen: Record<string, number[]> = { one: [], two: [] };
  const logs = { one: collect(), two: collect() };
  const make = (name: 'one' | 'two', first: number) =>
    createInstance<number, number>({
      env: env(`group-${name}`),
      logger: logs[name].logger,
      task: {
        async *generate({ cursor }) {
          await Promise.resolve();
          if (cursor === undefined) yield { messages: [first, first + 1], cursor: 1 };
        },
        handle: (n) => seen[name]!.push(n),
      },
    });
  const instances = [make('one', 1), make('two', 11)];
  await Promise.all(instances.map((each) => each.start()));
  await waitFor(() => seen['one']!.length + seen['two']!.length === 4, 'all messages');
  expect(seen).toEqual({ one: [1, 2], two: [11, 12] });
  expect(await Promise.all(instances.map(async (each) => (await each.status()).namespace))).toEqual([
    'group-one',
    'group-two',
  ]);
  expect(await instances[1]!.metrics()).not.toContain('group-one');
  await Promise.all(instances.map((each) => each.stop()));
  for (const name of ['one', 'two'] as const)
    expect(new Set(logs[name].lines.map(({ fields }) => fields['namespace']))).toEqual(
      new Set([`group-${name}`]),
    );
});

it('every instance says so if no living instance can generate', async () => {
  const logs = [collect(), collect()];
  const handle = () => undefined;
  const generate = async function* () {
    await Promise.resolve();
    yield { messages: [], cursor: 1 };
  };
  const barred = { ...env('barred'), CAN_GENERATE: 'false' };
  const instances = [
    createInstance({ env: barred, task: { generate, handle }, logger: logs[0]!.logger }),
    createInstance({ env: env('barred'), task: { handle }, logger: logs[1]!.logger }),
  ];
  await Promise.all(instances.map((each) => each.start()));
  const warning = /^no living instance can generate: /;
  for (const { lines } of logs)
    await waitFor(
      () => lines.some(({ level, message }) => level === 'warn' && warning.test(message)),
      'a warning',
    );
  await Promise.all(instances.map((each) => each.stop()));
});
