import { Argument, type Command, InvalidArgumentError } from 'commander';
import type { Config } from '../configuration/config';
import type { OperatedGroup } from '../operating/pause';
import type { Pausable } from '../operating/pause';
import { type Terminal, withRedis } from './terminal';

interface CursorOptions {
  readonly json?: boolean;
  readonly source?: string;
  readonly expect?: string;
}

const SOURCE = ['--source <name>', 'the source, if there are named sources'] as const;
const EXPECT = [
  '--expect <json>',
  'move only if the current cursor is this one ("none" for no cursor)',
] as const;

/** Adds the commands that operate the group. None of them joins it. */
export function addOperatingCommands(program: Command, terminal: Terminal): void {
  addCursor(program, terminal);
  addPause(program, terminal);
  program
    .command('drain')
    .description('pause generation and wait until every message has been handled')
    .option('--timeout <s>', 'give up after this many seconds', seconds)
    .action(async ({ timeout }: { timeout?: number }) => {
      const { drain } = await import('./drain.js');
      await withGroup(terminal, (group) => drain(group, timeout, terminal));
    });
  program
    .command('handover')
    .argument('[instance]', 'the instance that should generate; default: any eligible instance')
    .description('hand the generator over to another instance and print the new leader')
    .option(...SOURCE)
    .action(async (to: string | undefined, { source }: CursorOptions) => {
      const { handOverTo } = await import('./handover.js');
      await withGroup(terminal, (group, config) => handOverTo(group, config, { to, source }, terminal));
    });
  program
    .command('destroy')
    .description('remove all data of the namespace from Redis; all instances must be stopped')
    .option('--yes <namespace>', 'the namespace, to confirm without a terminal')
    .action(async ({ yes }: { yes?: string }) => {
      const { destroy } = await import('./destroy.js');
      await withRedis(terminal, (access) => destroy(access, yes, terminal));
    });
}

function addCursor(program: Command, terminal: Terminal): void {
  const cursor = program
    .command('cursor')
    .description('print the cursor of each source, or move it')
    .enablePositionalOptions()
    .option('--json', 'one JSON object per line, one line per source')
    .option(...SOURCE)
    .action(async (options: CursorOptions) => {
      const { showCursors } = await import('./cursor.js');
      await withGroup(terminal, (group, config) => showCursors(group, config, options, terminal));
    });
  cursor
    .command('set')
    .argument('<json>', 'the new cursor')
    .description('continue generation from this cursor, even while the group runs')
    .option(...EXPECT)
    .option(...SOURCE)
    .action(async (json: string, _options, command: Command) => {
      const { moveCursor } = await import('./cursor.js');
      const options = command.optsWithGlobals<CursorOptions>();
      await withGroup(terminal, (group, config) => moveCursor(group, config, { ...options, json }, terminal));
    });
  cursor
    .command('reset')
    .description('remove the cursor: generate starts from the beginning')
    .option(...EXPECT)
    .option(...SOURCE)
    .action(async (_options, command: Command) => {
      const { moveCursor } = await import('./cursor.js');
      const { expect, source } = command.optsWithGlobals<CursorOptions>();
      await withGroup(terminal, (group, config) => moveCursor(group, config, { expect, source }, terminal));
    });
  cursor
    .command('history')
    .description('print the last 50 positions: the start of each term, and manual moves')
    .option('--json', 'one JSON object per line')
    .option(...SOURCE)
    .action(async (_options, command: Command) => {
      const { showHistory } = await import('./cursor.js');
      const options = command.optsWithGlobals<CursorOptions>();
      await withGroup(terminal, (group, config) => showHistory(group, config, options, terminal));
    });
}

function addPause(program: Command, terminal: Terminal): void {
  const what = (fallback: Pausable, description: string) =>
    new Argument('[what]', description).choices(['generating', 'handling', 'all']).default(fallback);
  program
    .command('pause')
    .addArgument(what('generating', 'what to pause'))
    .description('stop generation, handling or both for the whole group, until resume')
    .option(...SOURCE)
    .action(async (paused: Pausable, { source }: CursorOptions) => {
      const { pause } = await import('./pause.js');
      await withGroup(terminal, (group, config) => pause(group, config, { what: paused, source }, terminal));
    });
  program
    .command('resume')
    .addArgument(what('all', 'what to resume'))
    .description('resume what is paused')
    .option(...SOURCE)
    .action(async (resumed: Pausable, { source }: CursorOptions, command: Command) => {
      const { resume } = await import('./pause.js');
      // A source can pause only generation.
      const isGiven = command.args.length > 0;
      const request = { what: source !== undefined && !isGiven ? 'generating' : resumed, source } as const;
      await withGroup(terminal, (group, config) => resume(group, config, request, terminal));
    });
}

function withGroup(
  terminal: Terminal,
  use: (group: OperatedGroup, config: Config) => Promise<void>,
): Promise<void> {
  return withRedis(terminal, async (access, config) =>
    use({ ...access, queue: await access.openQueue(), leases: await access.openLeases() }, config),
  );
}

function seconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('Expected a number of seconds above 0.');
}
