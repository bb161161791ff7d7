import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

/** One line of an instance's log. */
export interface LogLine {
  level: string;
  message: string;
  [field: string]: unknown;
}

/** A running `npm start`: the real executable. */
export interface InstanceProcess {
  readonly name: string;
  readonly process: ChildProcess;
  readonly log: LogLine[];
  /** What it wrote that is not a line of its log. */
  readonly noise: string[];
  /** The first line, from `from` on, that has this message; or that the function accepts. */
  logged(what: string | ((line: LogLine) => boolean), from?: number): Promise<LogLine>;
  /** Sends a signal. */
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
}

let count = 0;
const living = new Set<ChildProcess>();

/**
 * Starts an instance; `killAll` ends it at the latest. The board is off, and the log complete.
 *
 * @param args for Node.js, by default the built program
 * @param cwd by default elsewhere, so that no .env of a developer's takes part
 */
export function startInstance(
  env: Record<string, string>,
  args: readonly string[] = [resolve('dist/main.js')],
  cwd = tmpdir(),
): InstanceProcess {
  const name = env['INSTANCE_NAME'] ?? `i${++count}`;
  const child = spawn(process.execPath, args, {
    cwd,
    stdio: ['ignore', 'inherit', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      BOARD: 'off',
      LOG_FORMAT: 'json',
      LOG_LEVEL: 'debug',
      INSTANCE_NAME: name,
      ...env,
    },
  });
  living.add(child);
  const log: LogLine[] = [];
  const noise: string[] = [];
  const lines = new EventEmitter().setMaxListeners(100);
  createInterface(child.stderr).on('line', (text) => {
    try {
      log.push(JSON.parse(text) as LogLine);
    } catch {
      noise.push(text);
    }
    lines.emit('line');
  });
  const exited = once(child, 'exit').then(([code, signal]) => {
    living.delete(child);
    lines.emit('line');
    return (code ?? signal) as number | NodeJS.Signals;
  });

  return {
    name,
    process: child,
    log,
    noise,
    exited,
    signal: (signal) => void child.kill(signal),
    async logged(what, from = 0) {
      const accepts = typeof what === 'string' ? (line: LogLine) => line.message === what : what;
      for (;;) {
        const found = log.slice(from).find(accepts);
        if (found !== undefined) return found;
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(
            `${name} ended without logging ${what}: ${[...noise, ...log.slice(-5).map((l) => JSON.stringify(l))].join('\n')}`,
          );
        }
        await once(lines, 'line');
      }
    },
  };
}

export const ELECTED = 'elected: this instance is the generator';

/** Ends whatever startInstance has started. For afterEach. */
export async function killAll(): Promise<void> {
  const all = [...living];
  await Promise.all(
    all.map(async (child) => {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }),
  );
}
