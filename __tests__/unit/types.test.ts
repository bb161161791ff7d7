import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expectTypeOf } from 'expect-type';
import ts from 'typescript';
import {
  type Batch,
  createInstance,
  type CreateInstanceOptions,
  type Environment,
  type ErrorRecord,
  type GenerateContext,
  type HandleContext,
  type HostLogger,
  type Instance,
  type InstanceEvents,
  type Logger,
  type Status,
  type Task,
} from '../../src/index';
import { type FailedMessage, type HandledMessage, runTask } from '../../src/testing';

/*
 * The compiler checks the types (`npm run lint`): an error that is expected here and does not occur
 * is itself an error. Running this file checks nothing else; none of its functions is called.
 */

interface Reading {
  sensor: string;
  degrees: number;
}

it('message and cursor types flow through a task', () => {
  type Generate = NonNullable<Task<Reading, number>['generate']>;
  expectTypeOf<Parameters<Generate>>().toEqualTypeOf<[GenerateContext<number>]>();
  expectTypeOf<ReturnType<Generate>>().toEqualTypeOf<AsyncIterable<Batch<Reading, number>>>();
  expectTypeOf<Parameters<Task<Reading, number>['handle']>>().toEqualTypeOf<[Reading, HandleContext]>();
  expectTypeOf<GenerateContext<number>['source']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<GenerateContext<number>['cursor']>().toEqualTypeOf<number | undefined>();
  expectTypeOf<Batch<Reading, number>>().toEqualTypeOf<{
    readonly messages: readonly Reading[];
    readonly cursor: number;
  }>();

  const task: Task<Reading, number> = {
    async *generate({ cursor, signal, logger }) {
      expectTypeOf(cursor).toEqualTypeOf<number | undefined>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(logger).toEqualTypeOf<Logger>();
      await Promise.resolve();
      yield { messages: [{ sensor: 'roof', degrees: 3 }], cursor: 1 };
    },
    handle(message, { id, attempt, signal, logger }) {
      expectTypeOf(message).toEqualTypeOf<Reading>();
      expectTypeOf(id).toEqualTypeOf<string>();
      expectTypeOf(attempt).toEqualTypeOf<number>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(logger).toEqualTypeOf<Logger>();
    },
  };
  expectTypeOf(createInstance<Reading, number>).toBeCallableWith({ task });
  expectTypeOf(createInstance({ task })).toEqualTypeOf<Instance>();
});

it('the message of an object given to createInstance is what its generate yields', () => {
  createInstance({
    task: {
      async *generate({ cursor = 0 }: GenerateContext<number>) {
        expectTypeOf(cursor).toEqualTypeOf<number>();
        await Promise.resolve();
        yield { messages: [{ page: 1 }], cursor: cursor + 1 };
      },
      handle(message, { attempt }) {
        expectTypeOf(message).toEqualTypeOf<{ page: number }>();
        expectTypeOf(attempt).toEqualTypeOf<number>();
      },
    },
  });
});

it('a task whose parts do not fit together is refused', () => {
  const readings = {
    async *generate({ cursor = 0 }: GenerateContext<number>) {
      await Promise.resolve();
      yield { messages: [{ sensor: 'roof', degrees: 3 }], cursor };
    },
    handle({ sensor }: Reading) {
      return sensor;
    },
  };
  expectTypeOf(readings).toExtend<Task<Reading, number>>();
  const generate = readings.generate.bind(readings);

  // @ts-expect-error: handle takes another message than generate yields
  createInstance({ task: { generate, handle: ({ name }: { name: string }) => name } });
  // @ts-expect-error: not the declared message type
  createInstance<{ name: string }, number>({ task: readings });
  // @ts-expect-error: not the declared cursor type
  createInstance<Reading, string>({ task: readings });
  // @ts-expect-error: without handle
  createInstance({ task: { generate } });
  createInstance<Reading, number>({
    task: {
      // @ts-expect-error: the yielded cursor is not of the type that generate receives
      async *generate({ cursor = 0 }) {
        await Promise.resolve();
        yield { messages: [], cursor: String(cursor) };
      },
      handle: () => undefined,
    },
  });
  const wrong: Task<Reading, number> = {
    // @ts-expect-error: a batch without a cursor
    async *generate() {
      await Promise.resolve();
      yield { messages: [] };
    },
    handle: () => undefined,
  };
  // @ts-expect-error: a batch, not a promise of batches
  wrong.generate = () => Promise.resolve({ messages: [], cursor: 1 });
  // Yielded values are not modified afterwards.
  expectTypeOf<Batch<Reading, number>['messages']>().not.toHaveProperty('push');
});

it('message and cursor types flow through runTask', () => {
  const task = {
    async *generate({ cursor = 0 }: GenerateContext<number>) {
      await Promise.resolve();
      yield { messages: [{ sensor: 'roof', degrees: 3 }], cursor: cursor + 1 };
    },
    handle({ sensor }: Reading) {
      return sensor;
    },
  };
  expectTypeOf<Parameters<typeof runTask<Reading, number>>[0]>().toEqualTypeOf<Task<Reading, number>>();
  const check = async () => {
    const run = await runTask(task, { cursor: 3 });
    expectTypeOf(run.batches).toEqualTypeOf<readonly Batch<Reading, number>[]>();
    expectTypeOf(run.cursor).toEqualTypeOf<number | undefined>();
    expectTypeOf(run.handled).toEqualTypeOf<readonly HandledMessage<Reading>[]>();
    expectTypeOf(run.failed).toEqualTypeOf<readonly FailedMessage<Reading>[]>();
    expectTypeOf(run.failed[0]!.message).toEqualTypeOf<Reading>();
    // @ts-expect-error: another cursor than the task's
    await runTask(task, { cursor: 'three' });
    // @ts-expect-error: without handle
    await runTask({ generate: task.generate.bind(task) });
  };
  void check;
});

it('options and instance have only their declared members', () => {
  expectTypeOf<CreateInstanceOptions<Reading, number>>().toEqualTypeOf<{
    readonly task?: Task<Reading, number>;
    readonly env?: Environment;
    readonly logger?: HostLogger;
  }>();
  expectTypeOf(process.env).toExtend<Environment>();
  type Asked = 'isLeader' | 'status' | 'health' | 'readiness' | 'metrics' | 'errors' | 'fetch';
  expectTypeOf<keyof Instance>().toEqualTypeOf<'start' | 'stop' | 'on' | 'once' | 'off' | Asked>();
  expectTypeOf<ReturnType<Instance['errors']>>().toEqualTypeOf<AsyncIterable<ErrorRecord>>();
  expectTypeOf<ReturnType<Instance['status']>>().resolves.toEqualTypeOf<Status>();
  expectTypeOf<keyof InstanceEvents>().toEqualTypeOf<
    'elected' | 'steppedDown' | 'messageFailed' | 'ready' | 'unready'
  >();
  expectTypeOf<ReturnType<Instance['start' | 'stop']>>().toEqualTypeOf<Promise<void>>();
  expectTypeOf<keyof Logger>().toEqualTypeOf<'error' | 'warn' | 'info' | 'debug' | 'child'>();
  expectTypeOf<ReturnType<Logger['child']>>().toEqualTypeOf<Logger>();
  expectTypeOf(console).toExtend<HostLogger>();
  const listening = () => {
    const instance = createInstance();
    instance.on('elected', ({ source, term }) => {
      expectTypeOf(source).toEqualTypeOf<string | null>();
      expectTypeOf(term).toEqualTypeOf<number>();
    });
    // @ts-expect-error: no such event
    instance.once('crowned', () => undefined);
  };
  void listening;
  // @ts-expect-error: settings are strings
  createInstance({ env: { CONCURRENCY: 5 } });
});

it('the types of the package do not refer to types of a library', () => {
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const { importedFiles, typeReferenceDirectives } = ts.preProcessFile(readFileSync(file, 'utf8'));
    for (const { fileName } of [...importedFiles, ...typeReferenceDirectives]) {
      if (fileName.startsWith('.')) visit(join(dirname(file), `${fileName}.d.ts`));
      else packages.add(`${relative('dist', file)} imports ${fileName}`);
    }
  };
  visit('dist/index.d.ts');
  visit('dist/testing.d.ts');
  expect([...packages]).toEqual([]);
  expect(seen).toContain(join('dist', 'tasks', 'task.d.ts'));
});
