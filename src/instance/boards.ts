import type { EventEmitter } from 'node:events';
import type { Config } from '../configuration/config';
import { load } from './load';
import type { Logger } from '../logging/logger';
import { sleep } from '../time';
import type { BoardOptions } from '../web/settings';
import type { Mounted } from '../web/mounted';

/**
 * While the board loads, which takes longer than all the rest of a start, the process can do nothing else. Within this time
 * of its start, an instance usually leads and handles its first message. In milliseconds.
 */
const BOARD_DELAY_MS = 250;

export interface BoardsOptions extends Pick<BoardOptions, 'group' | 'groupSource' | 'queue'> {
  readonly config: Config;
  readonly probes: Pick<BoardOptions, 'isHealthy' | 'readiness' | 'metrics'>;
  /** Emits `changed` when the leader of a role changes. */
  readonly events: EventEmitter;
  readonly logger: Logger;
}

/**
 * The board, on its own port. It is loaded on the first call, because that takes longer than everything else.
 *
 * @returns a function that returns the same board each time; undefined if there is none
 */
export function boardLater(options: BoardsOptions, onListening: (port: number) => void) {
  const { config, events, logger } = options;
  let starting: Promise<{ close(): Promise<void> } | undefined> | undefined;
  return () => {
    if (!config.board.on) return Promise.resolve(undefined);
    return (starting ??= start().catch((error: unknown) => {
      logger.warn('the board could not be started', { error });
      return undefined;
    }));
  };

  async function start() {
    await sleep(BOARD_DELAY_MS);
    const started = await load.server().startBoard(boardOptions(options));
    onListening(started.port);
    events.on('changed', () => started.changed());
    return started;
  }
}

/** The web application without a port, for the host's server. It is loaded at the first request. */
export function mountLater(options: BoardsOptions) {
  let mounted: Mounted | undefined;
  const create = () => {
    const created = load.mounted().createMounted(boardOptions(options));
    options.events.on('changed', () => created.changed());
    return created;
  };
  return {
    get: () => (mounted ??= create()),
    close: async () => mounted?.close(),
  };
}

function boardOptions({ config, probes, ...rest }: BoardsOptions): BoardOptions {
  const { namespace, instanceName: instance, board: settings } = config;
  return { ...rest, ...probes, settings, namespace, instance };
}
