/*
 * The error recorder's thread, which recorderHost.ts starts. The event stream has about five events for each message;
 * reading them in the thread that generates and handles would take a quarter of its time.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { keysOf } from '../keys';
import type { Logger } from '../logging/logger';
import { closeClient, RedisConnector } from '../redis/connector';
import type { RedisAddress } from '../redis/address';
import { ErrorLog } from './errorLog';
import { recordErrors, type RecorderState } from './recorder';
import { openQueue } from '../redis/queue';

/** Data that the thread receives. */
export interface RecorderData {
  readonly address: RedisAddress;
  readonly namespace: string;
}

/** Messages that the thread sends. */
export type RecorderNews =
  | { readonly state: RecorderState }
  | {
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly message: string;
      readonly fields?: object | undefined;
    };

/**
 * Shorter than an instance's, so that a stalled connection is replaced well within the 2 s in which failures must be
 * recorded.
 */
const RETRY = { retryStrategy: (attempt: number) => Math.min(attempt * 20, 200), connectTimeout: 2500 };
const CONTROL = { ...RETRY, socketTimeout: 1500, commandTimeout: 1500 };
/** Longer than the listener blocks: see eventFilter.ts. */
const QUEUE = { ...RETRY, socketTimeout: 1700 };

async function run(tell: (news: RecorderNews) => void, signal: AbortSignal): Promise<void> {
  const { address, namespace } = workerData as RecorderData;
  const log = (level: 'error' | 'warn' | 'info' | 'debug') => (message: string, fields?: object) =>
    tell({ level, message, fields });
  const logger: Logger = {
    error: log('error'),
    warn: log('warn'),
    info: log('info'),
    debug: log('debug'),
    child: () => logger,
  };
  const keys = keysOf(namespace);
  const connector = new RedisConnector({ address, key: keys.errors });
  const control = connector.connectLater('control', CONTROL);
  const connection = connector.connectLater('queue', QUEUE);
  try {
    await recordErrors({
      connection,
      control,
      keys,
      errorLog: new ErrorLog(control, openQueue(connection, keys), keys),
      onState: (state) => tell({ state }),
      signal,
      logger,
    });
  } finally {
    await Promise.all([closeClient(control, 300), closeClient(connection, 300)]);
  }
}

// Runs only in the thread: other modules import the types.
if (parentPort !== null) {
  const port = parentPort;
  const ending = new AbortController();
  port.once('message', () => ending.abort());
  void run((news) => port.postMessage(news), ending.signal).finally(() => port.close());
}
