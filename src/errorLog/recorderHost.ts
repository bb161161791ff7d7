import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { toError } from '../errors';
import type { Logger } from '../logging/logger';
import type { Activity } from '../supervision/supervisor';
import { sleep } from '../time';
import type { RecorderData, RecorderNews } from './recorderThread';

export interface RecorderHostOptions extends RecorderData {
  readonly logger: Logger;
}

/** The built thread, even when this file runs from its source. */
const THREAD = join(__dirname, '..', '..', 'dist', 'errorLog', 'recorderThread.js');
/** What it reads is garbage soon: a small young generation keeps V8 from letting that pile up. The rest is V8's default. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4 };
const RESTART_DELAY_MS = 250;
/** A thread that is silent for this long is replaced, in milliseconds. Loading its modules can take longer. */
const MAX_SILENCE_MS = 4500;
const MAX_LOADING_MS = 30_000;
const SILENCE_CHECK_MS = 500;
/** Messages that a thread sent while this thread was busy are delivered within this time, in milliseconds. */
const DELIVERY_MS = 50;
/** How long the thread can take to end when asked, and to terminate, in milliseconds. */
const END_TIMEOUT_MS = 450;
const TERMINATE_TIMEOUT_MS = 200;

/** Records errors in a separate thread until the signal aborts. Never rejects: a thread that ends is replaced. */
export async function runRecorderThread(options: RecorderHostOptions, activity: Activity): Promise<void> {
  const { signal } = activity;
  while (!signal.aborted) {
    await runThread(options, activity).catch((error: unknown) =>
      options.logger.debug('recording errors was interrupted', { error: toError(error) }),
    );
    await sleep(RESTART_DELAY_MS, signal);
  }
}

async function runThread(
  { address, namespace, logger }: RecorderHostOptions,
  activity: Activity,
): Promise<void> {
  const { signal } = activity;
  const workerData: RecorderData = { address, namespace };
  // Started without the options of the process, because its preloaded modules are not meant for the thread.
  const thread = new Worker(THREAD, { workerData, execArgv: [], resourceLimits: RESOURCE_LIMITS });
  const ended = new AbortController();
  const startedAt = performance.now();
  let heardAt = startedAt + MAX_LOADING_MS - MAX_SILENCE_MS;
  thread.on('message', (news: RecorderNews) => {
    heardAt = performance.now();
    if (ended.signal.aborted) return;
    if (!('state' in news)) logger[news.level](news.message, news.fields);
    else if (news.state === 'upToDate') activity.progress();
  });
  thread.on('error', (error) => logger.debug('the error recorder failed', { error: toError(error) }));
  thread.once('exit', () => ended.abort());
  const isSilent = async () => {
    if (performance.now() - heardAt < MAX_SILENCE_MS) return false;
    await sleep(DELIVERY_MS, ended.signal);
    return performance.now() - heardAt >= MAX_SILENCE_MS;
  };
  while (!signal.aborted && !ended.signal.aborted) {
    await sleep(SILENCE_CHECK_MS, signal, ended.signal);
    if (signal.aborted || ended.signal.aborted || !(await isSilent())) continue;
    logger.warn('the error recorder does not respond: restarting it');
    break;
  }
  if (signal.aborted) {
    thread.postMessage('end');
    await sleep(END_TIMEOUT_MS, ended.signal);
  }
  if (ended.signal.aborted) return;
  // A thread that does not end is abandoned, and must not keep the process alive.
  const terminated = thread.terminate().catch(() => undefined);
  await Promise.race([terminated, sleep(TERMINATE_TIMEOUT_MS)]);
  thread.unref();
  ended.abort();
}
