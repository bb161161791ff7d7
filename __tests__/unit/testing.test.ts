import { setTimeout as sleep } from 'node:timers/promises';
import type { GenerateContext, Logger, Task } from '../../src/index';
import { runTask } from '../../src/testing';

/** Generates numbers endlessly, a few per batch. */
async function* count({ cursor = 0, signal }: GenerateContext<number>) {
  for (let first = cursor + 1; !signal.aborted; first += 2) {
    await Promise.resolve();
    yield { messages: [first, first + 1], cursor: first + 1 };
  }
}

const generate = (...batches: unknown[]) =>
  async function* (this: void) {
    await Promise.resolve();
    yield* batches;
  } as unknown as NonNullable<Task['generate']>;
const handle = () => undefined;

it('returns the committed and the handled messages in order', async () => {
  const seen: unknown[] = [];
  const run = await runTask<number, number>(
    {
      generate: count,
      handle: (message, { id, attempt, signal }) => seen.push([message, id, attempt, signal.aborted]),
    },
    { batches: 2 },
  );
  expect(run.batches).toEqual([
    { messages: [1, 2], cursor: 2 },
    { messages: [3, 4], cursor: 4 },
  ]);
  expect(run.cursor).toBe(4);
  expect(run.handled[3]).toEqual({ id: '4', message: 4, attempts: 1 });
  expect(run.failed).toEqual([]);
  expect(seen).toEqual([1, 2, 3, 4].map((n) => [n, String(n), 1, false]));
});

it('continues from a cursor, with other ids', async () => {
  const run = await runTask({ generate: count, handle }, { cursor: 10, firstId: 11, batches: 1 });
  expect(run.handled.map(({ id, message }) => [id, message])).toEqual([
    ['11', 11],
    ['12', 12],
  ]);
});

it('ends when generate returns; an empty batch moves only the cursor', async () => {
  const run = await runTask({ generate: generate({ messages: [], cursor: { page: 1 } }), handle });
  expect(run).toEqual({
    batches: [{ messages: [], cursor: { page: 1 } }],
    cursor: { page: 1 },
    handled: [],
    failed: [],
  });
  expect(await runTask({ generate: generate(), handle }, { cursor: 7 })).toMatchObject({
    cursor: 7,
    batches: [],
  });
});

it('passes everything through JSON, with a fresh copy each time', async () => {
  const date = new Date(0);
  let given: unknown;
  const seen: unknown[] = [];
  const run = await runTask(
    {
      async *generate({ cursor }) {
        await Promise.resolve();
        given = cursor;
        yield { messages: [{ date, nothing: undefined }], cursor: { date: new Date(1) } };
      },
      handle(message: { date: Date; nothing: undefined }) {
        seen.push({ ...message });
        message.date = new Date(1);
        throw new Error('no');
      },
    },
    { cursor: { date }, attempts: 2 },
  );
  const stored = { date: date.toISOString() };
  expect(given).toEqual(stored);
  expect(seen).toEqual([stored, stored]);
  expect(run.failed[0]!.message).toEqual(stored);
  expect(run.cursor).toEqual({ date: new Date(1).toISOString() });
});

it.each([
  [
    [{ messages: 'one', cursor: 1 }],
    'generate yielded an object with messages, cursor, expected { messages: [...], cursor }',
  ],
  [[{ messages: [undefined], cursor: 1 }], 'message 0 of a batch is undefined, expected a JSON value'],
  [[{ messages: [] }], 'the cursor of a batch is undefined, expected a JSON value'],
  [[{ messages: [1n], cursor: 1 }], 'Do not know how to serialize a BigInt'],
])('refuses what the generator refuses: %#', async (batches, expected) => {
  await expect(runTask({ generate: generate(...batches), handle })).rejects.toThrow(expected);
});

it('refuses invalid tasks, iterables and options', async () => {
  const task = { generate: generate(), handle };
  await expect(runTask({ generate: generate() } as never)).rejects.toThrow(
    'expected two functions, generate and handle',
  );
  await expect(runTask({ handle })).rejects.toThrow('the task only handles, expected the option messages');
  await expect(runTask({ handle }, { messages: [() => 1] })).rejects.toThrow(
    'message 0 is a value of type function',
  );
  await expect(runTask({ generate: () => 5, handle } as never)).rejects.toThrow('expected an async iterable');
  await expect(runTask(task, { batches: 0 })).rejects.toThrow('batches is 0, expected a whole number from 1');
  await expect(runTask(task, { attempts: 1.5 })).rejects.toThrow('attempts is 1.5');
  await expect(runTask(task, { cursor: () => 1 })).rejects.toThrow('cursor is a value of type function');
});

it('rejects with the error that generate throws', async () => {
  const error = new Error('the source is gone');
  const failing = { generate: () => { throw error; }, handle }; // prettier-ignore
  await expect(runTask(failing)).rejects.toBe(error);
});

it('attempts a message up to the given number of times and keeps the last error', async () => {
  const attempts: number[] = [];
  const task = {
    generate: generate({ messages: ['a', 'b'], cursor: 1 }),
    handle(message: unknown, { attempt }: { attempt: number }) {
      attempts.push(attempt);
      if (message === 'b' || attempt < 3) throw new Error(`${message} ${attempt}`);
    },
  };
  const run = await runTask(task, { attempts: 3 });
  expect(attempts).toEqual([1, 2, 3, 1, 2, 3]);
  expect(run.handled).toEqual([{ id: '1', message: 'a', attempts: 3 }]);
  expect(run.failed).toEqual([{ id: '2', message: 'b', attempts: 3, error: new Error('b 3') }]);
});

it('can handle a message again under the same id', async () => {
  const seen: unknown[] = [];
  const task = {
    generate: generate({ messages: ['a', 'b'], cursor: 1 }),
    handle: (message: unknown, { id, attempt }: { id: string; attempt: number }) =>
      seen.push([message, id, attempt]),
  };
  const { handled } = await runTask(task, { handleTwice: true });
  expect(seen).toEqual([['a', '1', 1], ['a', '1', 2], ['b', '2', 1], ['b', '2', 2]]); // prettier-ignore
  expect(handled.map(({ attempts }) => attempts)).toEqual([2, 2]);
  // This is not a failed attempt.
  const handle = (_: unknown, { attempt }: { attempt: number }) => {
    if (attempt === 2) throw new Error('no');
  };
  const run = await runTask({ ...task, handle }, { handleTwice: true, attempts: 2 });
  expect(run.handled.map(({ attempts }) => attempts)).toEqual([3, 3]);
});

it('aborts generate once there are enough batches, and lets it clean up', async () => {
  const steps: string[] = [];
  await runTask(
    {
      async *generate({ signal }) {
        signal.addEventListener('abort', () => steps.push('told'));
        try {
          yield { messages: [1], cursor: 1 };
          await sleep(60_000, undefined, { signal });
        } finally {
          steps.push('cleaned');
        }
      },
      handle: (_, { signal }) => steps.push(`handled ${signal.aborted}`),
    },
    { batches: 1 },
  );
  expect(steps).toEqual(['told', 'handled false', 'cleaned']);
});

it('stops when its signal aborts: active messages are neither handled nor failed', async () => {
  const stop = new AbortController();
  let last: unknown;
  const run = await runTask<number, number>(
    {
      generate: count,
      async handle(message, { signal }) {
        last = message;
        if (message === 3) stop.abort();
        await sleep(0, undefined, { signal });
      },
    },
    { signal: stop.signal },
  );
  expect(last).toBe(3);
  expect(run.handled.map(({ message }) => message)).toEqual([1, 2]);
  expect(run.failed).toEqual([]);
  expect(run.cursor).toBe(4);
});

it('does not wait forever for a generate that ignores its signal', async () => {
  const stop = new AbortController();
  const never = new Promise<never>(() => undefined);
  const running = runTask(
    {
      async *generate() {
        yield { messages: [], cursor: 1 };
        await never;
      },
      handle,
    },
    { signal: stop.signal },
  );
  await sleep(20);
  stop.abort();
  expect((await running).cursor).toBe(1);
});

it('passes its logger to the task and logs nothing else', async () => {
  const lines: unknown[] = [];
  const logger = (fields: object): Logger => {
    const log = (text: string) => void lines.push([text, fields]);
    const child = (more: object) => logger({ ...fields, ...more });
    return { error: log, warn: log, info: log, debug: log, child };
  };
  await runTask(
    {
      async *generate({ logger }) {
        await Promise.resolve();
        logger.info('one');
        yield { messages: [1], cursor: 1 };
      },
      handle: (_, { logger }) => logger.warn('two'),
    },
    { logger: logger({}) },
  );
  expect(lines).toEqual([['one', {}], ['two', { id: '1' }]]); // prettier-ignore
});

it('passes messages of the test to a task that only handles, and does not run generate', async () => {
  const task = {
    generate: generate({ messages: [1], cursor: 1 }),
    handle: (message: unknown) => {
      if (message === 'b') throw new Error('no');
    },
  };
  const handled = { id: '5', message: 'a', attempts: 1 };
  const failed = { id: '6', message: 'b', attempts: 2, error: new Error('no') };
  const options = { messages: ['a', 'b'], firstId: 5, attempts: 2, cursor: 3 };
  const run = { batches: [], cursor: 3, handled: [handled], failed: [failed] };
  expect(await runTask(task, options)).toEqual(run);
  expect(await runTask({ handle: task.handle }, options)).toEqual(run);
});

it('passes the source to generate', async () => {
  const sources: unknown[] = [];
  const task = {
    async *generate({ source }: GenerateContext<number>) {
      await Promise.resolve();
      sources.push(source);
      yield { messages: [], cursor: 1 };
    },
    handle,
  };
  await runTask(task);
  await runTask(task, { source: 'west' });
  expect(sources).toEqual([undefined, 'west']);
});
