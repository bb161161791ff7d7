import { once } from 'node:events';
import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';

/** A thread outside Jest's sandbox, where ES modules load as in the program. */
export interface ModuleHost {
  /** Runs an operation of fixtures/moduleHost.mjs; resolves with its result, or rejects with its error. */
  run<Result>(operation: string, options: object): Promise<Result>;
  close(): Promise<void>;
}

interface Answer {
  number: number;
  result?: unknown;
  error?: { name: string; message: string; exitCode?: number };
}

export async function openModuleHost(): Promise<ModuleHost> {
  const worker = new Worker(resolve('__tests__/fixtures/moduleHost.mjs'));
  await once(worker, 'online');
  const waiting = new Map<number, (answer: Answer) => void>();
  worker.on('message', (answer: Answer) => waiting.get(answer.number)?.(answer));
  let count = 0;
  return {
    async run<Result>(operation: string, options: object) {
      const number = ++count;
      const answered = new Promise<Answer>((resolve) => waiting.set(number, resolve));
      worker.postMessage({ number, operation, options });
      const { result, error } = await answered;
      waiting.delete(number);
      if (error) throw Object.assign(new Error(error.message), error);
      return result as Result;
    },
    async close() {
      await worker.terminate();
    },
  };
}
