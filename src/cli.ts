import { setFlagsFromString } from 'node:v8';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { GetErrorsOptions } from './commands/getErrors';
import { addOperatingCommands } from './commands/operatingCommands';
import { type Terminal, withRedis } from './commands/terminal';
import { examplesFor } from './terminal/invocation';
import { AppError } from './errors';

export type { Terminal } from './commands/terminal';

const ABOUT = `Runs one instance. Run it again, here or on other machines, for more: they find each other through Redis.
Exactly one of them generates messages at a time; all of them handle them.`;

/**
 * Runs the command line and returns the exit code. Each command loads only what it needs.
 *
 * @param args without node and the script
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = buildProgram(terminal);
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (!(error instanceof CommanderError || error instanceof AppError)) throw error;
    const { printable } = await import('./terminal/printable.js');
    if (error instanceof AppError) {
      terminal.tell(printable(`error: ${error.message}`));
      return error.exitCode;
    }
    // For `help` with an unknown command, commander's message is only "(outputHelp)".
    const text =
      error.code === 'commander.help' ? `error: ${unknownCommand(program, args[1])}` : error.message;
    terminal.tell(printable(text.replace(/\s*\n\s*/g, ' ')));
    return 2;
  }
}

function buildProgram(terminal: Terminal): Command {
  const pendingHelp: string[] = [];
  const name = terminal.program ?? 'npm start --';
  const program = new Command(name)
    .description(ABOUT)
    .usage('[command] [options]')
    .version(terminal.version)
    .addHelpText('after', examplesFor(name))
    .showHelpAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => pendingHelp.push(text),
      // Reported by runCommandLine, in one line.
      writeErr: () => undefined,
    });
  const parse = program.parseAsync.bind(program);
  program.parseAsync = async (...given) => {
    try {
      return await parse(...given);
    } finally {
      if (pendingHelp.length > 0) await terminal.write(pendingHelp.join(''));
    }
  };

  program
    .command('start', { isDefault: true })
    .description('run one instance until Ctrl-C (default)')
    .allowExcessArguments()
    .action(async (_options, command: Command) => {
      if (command.args.length > 0) {
        throw new AppError(unknownCommand(program, command.args[0]), 2);
      }
      await terminal.run(terminal.env);
    });

  addErrorCommands(program, terminal);

  program
    .command('status')
    .description('print the leaders, the living instances, and the waiting and failed messages')
    .option('--json', 'one JSON object')
    .option('--watch', 'refresh every second until Ctrl-C')
    .action(async ({ json = false, watch = false }: { json?: boolean; watch?: boolean }) => {
      const { readGroup } = await import('./group/read.js');
      const { showStatus } = await import('./commands/showStatus.js');
      const { paintFor } = await import('./terminal/colors.js');
      await withRedis(terminal, async (source, config) => {
        const leases = await source.openLeases();
        await showStatus(() => readGroup({ ...source, leases }), {
          json,
          watching: watch ? terminal.stopSignal() : undefined,
          screenSize: terminal.screenSize,
          paint: paintFor(terminal.stdout, config),
          write: terminal.write,
        });
      });
    });

  addOperatingCommands(program, terminal);
  return program;
}

function addErrorCommands(program: Command, terminal: Terminal): void {
  program
    .command('getErrors')
    .alias('getError')
    .argument('[id...]', 'print only the errors of these messages, in full')
    .description('print failed messages, oldest first, and exit')
    .option('--json', 'one JSON object per line')
    .option('--clear', 'remove each error once it has been printed')
    .option('--limit <n>', 'print at most n errors', positive)
    .option('--newest', 'newest first')
    .addOption(new Option('--stack', 'print stacks (default on a terminal, and with ids)').conflicts('json'))
    .addOption(new Option('--no-stack', 'do not print stacks').conflicts('json'))
    .addOption(
      // Errors that were only counted have not been printed, and must not be cleared.
      new Option('--summary', 'count errors by kind, most frequent first').conflicts([
        ...['clear', 'limit', 'newest', 'stack'],
      ]),
    )
    .action((ids: string[], options: ErrorOptions) => printErrors(terminal, ids, options));

  program
    .command('retryErrors')
    .argument('[id...]', 'ids of failed messages, as getErrors shows them')
    .description('requeue failed messages and remove them from the error log')
    .option('--all', 'retry all failed messages')
    .action((ids: string[], { all = false }: { all?: boolean }) => retryFailed(terminal, ids, all));
}

interface ErrorOptions extends GetErrorsOptions {
  readonly summary?: boolean;
}

async function printErrors(terminal: Terminal, ids: readonly string[], options: ErrorOptions): Promise<void> {
  const senseless = (['summary', 'limit', 'newest'] as const).find((name) => options[name] !== undefined);
  if (ids.length > 0 && senseless !== undefined) {
    throw new AppError(`getErrors got ids and --${senseless}, expected one or the other`, 2);
  }
  // What is printed is garbage at once. By default V8 lets much of it pile up before it collects.
  for (const flag of ['--optimize-for-size', '--semi-space-growth-factor=1']) setFlagsFromString(flag);
  const { getErrors, getErrorsById } = await import('./commands/getErrors.js');
  const { summarizeErrors } = await import('./commands/errorSummary.js');
  await withRedis(terminal, async ({ errorLog, namespace }) => {
    if (ids.length > 0) {
      const { missing } = await getErrorsById(errorLog, ids, { stack: true, ...options }, terminal.write);
      if (missing.length > 0) throw new AppError(`no error is recorded of message ${missing.join(', ')}`, 1);
      return;
    }
    const print = options.summary ? summarizeErrors : getErrors;
    const stack = options.stack ?? terminal.stdout.isTTY === true;
    const { written, cutShort } = await print(errorLog, { ...options, stack }, terminal.write);
    if (written === 0 && !cutShort && !options.json)
      terminal.tell(`no errors are recorded in the namespace ${JSON.stringify(namespace)}`);
  });
}

async function retryFailed(terminal: Terminal, ids: readonly string[], all: boolean): Promise<void> {
  if (all === ids.length > 0) {
    const found = all ? '--all and ids' : 'no ids';
    throw new AppError(`retryErrors got ${found}, expected either ids or --all`, 2);
  }
  const { retryAllErrors, retryErrors } = await import('./errorLog/retry.js');
  const { explainFailure } = await import('./redis/connector.js');
  const { redisOf } = await import('./redis/resolve.js');
  await withRedis(terminal, async (source, config) => {
    const failed = { ...source, queue: await source.openQueue() };
    const { retried, unknown, failure } = all ? await retryAllErrors(failed) : await retryErrors(failed, ids);
    if (retried > 0 || (unknown.length === 0 && failure === undefined)) {
      terminal.tell(`${retried} ${retried === 1 ? 'message is' : 'messages are'} back in the queue`);
    }
    const problems = unknown.length > 0 ? [`no failed message has the id ${unknown.join(', ')}`] : [];
    if (failure) {
      const { message } = explainFailure(failure.error, redisOf(config));
      problems.push(`${message}; not retried: ${failure.left}`);
    }
    if (problems.length > 0) throw new AppError(problems.join('; '), 1);
  });
}

function unknownCommand(program: Command, name = ''): string {
  const known = program.commands.map((each) => each.name()).join(', ');
  return `unknown command ${JSON.stringify(name)}, expected one of ${known}`;
}

function positive(text: string): number {
  if (/^\d+$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('Expected a whole number from 1.');
}
