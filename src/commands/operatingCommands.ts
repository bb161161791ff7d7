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
const EXPECT = ['--expect <json>', 'only if this is the cursor now ("none" for no cursor)'] as const;

/** Adds the commands that operate the group. None of them takes part in it. */
export function addOperatingCommands(program: Command, terminal: Terminal): void {
  addCursor(program, terminal);
  addPause(program, terminal);
  program
    .command('drain')
    .description('pause generating and wait until every message has been handled')
    .option('--timeout <s>', 'give up after so many seconds', seconds)
    .action(async ({ timeout }: { timeout?: number }) => {
      const { drain } = await import('./drain.js');
      await withGroup(terminal, (group) => drain(group, timeout, terminal));
    });
  program
    .command('handover')
    .argument('[instance]', 'the instance that should generate; any that can if it is left out')
    .description('hand the generator over to another instance and print who leads now')
    .option(...SOURCE)
    .action(async (to: string | undefined, { source }: CursorOptions) => {
      const { handOverTo } = await import('./handover.js');
      await withGroup(terminal, (group, config) => handOverTo(group, config, { to, source }, terminal));
    });
  program
    .command('destroy')
    .description('remove everything that the namespace has in Redis; no instance may be alive')
    .option('--yes <namespace>', 'the namespace, to confirm it without a terminal')
    .action(async ({ yes }: { yes?: string }) => {
      const { destroy } = await import('./destroy.js');
      await withRedis(terminal, (access) => destroy(access, yes, terminal));
    });
}

function addCursor(program: Command, terminal: Terminal): void {
  const cursor = program
    .command('cursor')
    .description('print where generating stands, or move it')
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
    .description('continue generating from this cursor, also while the group runs')
    .option(...EXPECT)
    .option(...SOURCE)
    .action(async (json: string, _options, command: Command) => {
      const { moveCursor } = await import('./cursor.js');
      const options = command.optsWithGlobals<CursorOptions>();
      await withGroup(terminal, (group, config) => moveCursor(group, config, { ...options, json }, terminal));
    });
  cursor
    .command('reset')
    .description('forget the cursor: generate starts from the beginning')
    .option(...EXPECT)
    .option(...SOURCE)
    .action(async (_options, command: Command) => {
      const { moveCursor } = await import('./cursor.js');
      const { expect, source } = command.optsWithGlobals<CursorOptions>();
      await withGroup(terminal, (group, config) => moveCursor(group, config, { expect, source }, terminal));
    });
  cursor
    .command('history')
    .description('print the last 50 positions: where each term began, and those moved by hand')
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
    .description('stop generating, handling or both for the whole group, until resume')
    .option(...SOURCE)
    .action(async (paused: Pausable, { source }: CursorOptions) => {
      const { pause } = await import('./pause.js');
      await withGroup(terminal, (group, config) => pause(group, config, { what: paused, source }, terminal));
    });
  program
    .command('resume')
    .addArgument(what('all', 'what to resume'))
    .description('continue what is paused')
    .option(...SOURCE)
    .action(async (resumed: Pausable, { source }: CursorOptions, command: Command) => {
      const { resume } = await import('./pause.js');
      // A source has generating alone.
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
