import type { Config, Environment } from '../configuration/config';
import type { ScreenSize } from '../terminal/screen';
import type { Write } from '../terminal/write';
import type { openAccess } from './access';

/** What the program needs of its process. */
export interface Terminal {
  readonly env: Environment;
  readonly version: string;
  /** What a person types before a command. Default: that of a checkout. */
  readonly program?: string;
  /** Writes data to stdout. */
  readonly write: Write;
  /** Writes a message for the person to stderr. */
  readonly tell: (text: string) => void;
  /** Whether stdout is a terminal, and has colours. */
  readonly stdout: { readonly isTTY?: boolean; hasColors?(): boolean };
  /** stderr, for what is drawn there; undefined where it is no terminal. */
  readonly stderr?: NodeJS.WriteStream | undefined;
  /** Asks the person a question and resolves with the answer; undefined where there is no terminal to ask. */
  readonly ask?: ((question: string) => Promise<string>) | undefined;
  /** Undefined where stdout is no terminal. */
  readonly screenSize: () => ScreenSize | undefined;
  /** From then on, SIGINT and SIGTERM abort this signal; the second one ends the process at once. */
  readonly stopSignal: () => AbortSignal;
  /** Runs an instance until it is told to stop. */
  readonly run: (env: Environment) => Promise<void>;
}

export type Access = Awaited<ReturnType<typeof openAccess>>;

/** Gives `use` what a command needs of Redis, and closes it. A failure of Redis on the way ends in one line. */
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
