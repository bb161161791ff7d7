import { basename, sep } from 'node:path';

const BIN = 'node-instances-communication';

/** What hints to the user depend on: how the program was started, and for which group. */
export interface Invocation {
  /** As in `process.argv[1]`. */
  readonly script: string | undefined;
  /** As in `process.env['npm_execpath']`: set if npm or npx started the program. */
  readonly npm: string | undefined;
}

/**
 * Returns what a user types before a command: `npm start --` in a checkout, and the name of the executable if the
 * package is installed.
 */
export function programName({ script = '', npm }: Invocation): string {
  const isInstalled = basename(script) === BIN || script.includes(`${sep}node_modules${sep}${BIN}${sep}`);
  if (!isInstalled) return 'npm start --';
  // npm finds executables of a project that a shell does not find.
  return npm === undefined ? BIN : `npx ${BIN}`;
}

/** Returns the variable that selects the same group, followed by a space, to prefix a command; empty for `nic`. */
export function namespacePrefix(namespace: string): string {
  if (namespace === 'nic') return '';
  const isPlain = /^[\w.:-]+$/.test(namespace);
  return `NAMESPACE=${isPlain ? namespace : `'${namespace.replaceAll("'", String.raw`'\''`)}'`} `;
}

/** Tells a user who watches the log what to do next. */
export function nextSteps(program: string, namespace: string): string {
  const command = `${namespacePrefix(namespace)}${program}`;
  return `
  Ctrl-C stops this instance. The same command in another terminal starts one more, which shares the work
  and takes over when this one stops.

    ${command} status       shows who leads and what waits
    ${command} getErrors    shows what failed

`;
}

const SETTINGS = `
Settings are environment variables, or lines of a file .env here: .env.example explains each.
Most used: REDISURL, TASK, NAMESPACE, LEASE_TTL_MS, CONCURRENCY, ATTEMPTS, BOARD_PORT, LOG_LEVEL.
Exit codes: 0 success, 1 failure, 2 invalid usage or configuration.`;

/**
 * Returns the end of the help text.
 *
 * @param program what a user types to run it, as programName returns it
 */
export function examplesFor(program: string): string {
  const start = program.replace(/ --$/, '');
  const task = `NAMESPACE=log FILE=access.log TASK=examples/accessLog.mjs ${start}`;
  const errors = program === start ? program : `${start} -s --`;
  const rows = [
    [start, 'one instance of the demo; Ctrl-C stops it'],
    [task, ''],
    ['', 'a task: a module with generate and handle'],
    [`${program} status`, 'the leaders, the living instances and the message counts'],
    [`${errors} getErrors --json | jq .`, 'failed messages, one object per line'],
    [`${program} getErrors --summary`, 'the same, counted by text'],
    [`${program} retryErrors 42`, 'requeue message 42'],
  ] as const;
  const width = Math.max(...rows.map(([command]) => (command === task ? 0 : command.length))) + 3;
  const lines = rows.map(([command, meaning]) => `  ${command.padEnd(width)}${meaning}`.trimEnd());
  return `\nExamples:\n${lines.join('\n')}\n${SETTINGS}`;
}
