import { runCommandLine } from '../../src/cli';

/** What is held against a line; undefined: nothing. */
export type Problem = string | undefined;

const helpTexts = new Map<string, Promise<string>>();

function help(...command: string[]): Promise<string> {
  const key = command.join();
  if (!helpTexts.has(key)) helpTexts.set(key, readHelp([...command, '--help']));
  return helpTexts.get(key)!;
}

async function readHelp(args: string[]): Promise<string> {
  let output = '';
  const write = (piece: string) => Promise.resolve((output += piece) !== '');
  const never = () => {
    throw new Error('help runs nothing');
  };
  const terminal = {
    env: {},
    version: '0',
    write,
    tell: () => undefined,
    stdout: {},
    screenSize: () => undefined,
    stopSignal: never,
    run: never,
  };
  await runCommandLine(args, terminal);
  return output;
}

/** Commands and options of the program are those of its --help. */
export async function checkProgram(args: readonly string[]): Promise<Problem> {
  const name = args.find((arg) => !arg.startsWith('-'));
  const commands = [...(await help()).matchAll(/^ {2}([a-z]\w+)(?:\|(\w+))?[ \n]/gm)].flatMap(
    ([, ...names]) => names,
  );
  if (name !== undefined && !commands.includes(name)) return `the program has no command ${name}`;
  const known = await help(...(name === undefined ? [] : [name]));
  const unknown = args.filter((arg) => /^--?[a-z]/.test(arg) && !known.includes(arg.split('=')[0]!));
  return unknown.length > 0 ? `${name ?? 'the program'} has no option ${unknown.join(', ')}` : undefined;
}
