/*
 * The error recorder's own thread, which recorderHost.ts starts. The event stream has some five events for each message;
 * to read them in the thread that generates and handles would take a quarter of its time.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { keysOf } from '../keys';
import type { Logger } from '../logger';
import { closeClient, RedisConnector } from '../redis/connector';
import type { RedisAddress } from '../redis/address';
import { ErrorLog } from './errorLog';
import { recordErrors } from './recorder';
import { openQueue } from '../redis/queue';

/** What the thread is given. */
export interface RecorderData {
  readonly address: RedisAddress;
  readonly namespace: string;
}

/** What the thread tells. */
export type RecorderNews =
  | { readonly listening: boolean }
  | {
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly message: string;
      readonly fields?: object | undefined;
    };

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
  const connector = new RedisConnector({ address, key: keys.lease });
  const control = await connector.connect('control');
  const connection = await connector.connect('queue');
  await recordErrors({
    connection,
    control,
    keys,
    errorLog: new ErrorLog(control, openQueue(connection, keys), keys),
    onListening: (listening) => tell({ listening }),
    signal,
    logger,
  });
  await Promise.all([closeClient(control), closeClient(connection)]);
}

// Only in the thread: others import the types.
if (parentPort !== null) {
  const port = parentPort;
  const ending = new AbortController();
  port.once('message', () => ending.abort());
  void run((news) => port.postMessage(news), ending.signal).then(() => port.close());
}
