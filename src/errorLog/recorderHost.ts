import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { toError } from '../errors';
import type { Logger } from '../logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import type { RecorderData, RecorderNews } from './recorderThread';

export interface RecorderHostOptions extends RecorderData {
  /** Told when it begins to listen, and when that has ended. */
  readonly onListening: (listening: boolean) => void;
  /** Recording ends when it aborts. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Built, also where this file is not. */
const THREAD = join(__dirname, '..', '..', 'dist', 'errorLog', 'recorderThread.js');
/** A new generator first generates: recording goes on from where the last recorder stood in any case. In milliseconds. */
const START_AFTER_MS = 100;
const RETRY_MS = 500;
/** How long the thread may take to end when it is told to, in milliseconds. */
const END_MS = 1000;

/** Records errors in a thread of their own until the signal aborts. Never rejects: when Redis is away it tries again. */
export async function runRecorderThread(
  given: Pick<RecorderHostOptions, 'address' | 'namespace' | 'logger'>,
  { signal, progress }: Activity,
): Promise<void> {
  const { logger } = given;
  const options: RecorderHostOptions = { ...given, signal, onListening: progress };
  const beat = setInterval(progress, 1000);
  signal.addEventListener('abort', () => clearInterval(beat));
  await sleep(START_AFTER_MS, signal);
  while (!signal.aborted) {
    try {
      await runThread(options);
    } catch (error) {
      logger.debug('recording errors was interrupted', { error: toError(error) });
    }
    await sleep(RETRY_MS, signal);
  }
}

async function runThread({
  address,
  namespace,
  onListening,
  signal,
  logger,
}: RecorderHostOptions): Promise<void> {
  const workerData: RecorderData = { address, namespace };
  // Without the options of the process: what it preloads is not meant for here.
  const thread = new Worker(THREAD, { workerData, execArgv: [] });
  let listening = false;
  const listen = (now: boolean) => {
    if (now !== listening) onListening((listening = now));
  };
  thread.on('message', (news: RecorderNews) => {
    if ('listening' in news) listen(news.listening);
    else logger[news.level](news.message, news.fields);
  });
  const exited = once(thread, 'exit');
  const ended = new AbortController();
  const end = () => {
    thread.postMessage('end');
    void sleep(END_MS, ended.signal).then(() => thread.terminate());
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    await exited;
  } finally {
    ended.abort();
    signal.removeEventListener('abort', end);
    listen(false);
  }
}
