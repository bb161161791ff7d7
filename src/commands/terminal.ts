import type { Config, Environment } from '../configuration/config';
import type { ScreenSize } from '../terminal/screen';
import type { Write } from '../terminal/write';
import type { openAccess } from './access';

/** What the program needs from its process. */
export interface Terminal {
  readonly env: Environment;
  readonly version: string;
  /** What a user types before a command. Default: that of a checkout. */
  readonly program?: string;
  /** Writes data to stdout. */
  readonly write: Write;
  /** Writes a message for the user to stderr. */
  readonly tell: (text: string) => void;
  /** Whether stdout is a terminal, and supports colors. */
  readonly stdout: { readonly isTTY?: boolean; hasColors?(): boolean };
  /** stderr, for drawing; undefined if it is not a terminal. */
  readonly stderr?: NodeJS.WriteStream | undefined;
  /** Asks the user a question and resolves with the answer; undefined if there is no terminal to ask on. */
  readonly ask?: ((question: string) => Promise<string>) | undefined;
  /** Undefined if stdout is not a terminal. */
  readonly screenSize: () => ScreenSize | undefined;
  /** After this call, SIGINT and SIGTERM abort this signal; a second one ends the process immediately. */
  readonly stopSignal: () => AbortSignal;
  /** Runs an instance until it is stopped. */
  readonly run: (env: Environment) => Promise<void>;
}

export type Access = Awaited<ReturnType<typeof openAccess>>;

/** Passes `use` what a command needs to access Redis, and closes it afterwards. A failure of Redis ends in one line. */
export async function withRedis(
  terminal: Pick<Terminal, 'env'>,
  use: (access: Access, config: Config) => Promise<void>,
): Promise<void> {
  const { resolveConfig } = await import('../configuration/config.js');
  const { openAccess } = await import('./access.js');
  const config: Config = resolveConfig(terminal.env);
  const access = await openAccess(config);
  try {
    await use(access, config);
  } catch (error) {
    const { explainFailure } = await import('../redis/connector.js');
    const { redisOf } = await import('../redis/resolve.js');
    throw explainFailure(error, redisOf(config));
  } finally {
    await access.close();
  }
}
