import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { type Environment, resolveConfig } from '../../src/config';
import { keysOf } from '../../src/keys';
import { readCompose } from './deployFiles';
import { checkProgram, type Problem } from './programHelp';
import type { ShellCommand } from './shellLines';

export interface Reader {
  /** Files that the document lets its reader make: by redirection, by a block with a name, or by saying so. */
  readonly has: (file: string) => boolean;
  /** Variables besides those of .env.example that the document's own code reads. */
  readonly variables: ReadonlySet<string>;
}

/** Nothing to check about them, or nothing that can be. */
const PLAIN = new Set(
  [
    'cat',
    'echo',
    'false',
    'git',
    'grep',
    'head',
    'jq',
    'journalctl',
    'kill',
    'less',
    'mkdir',
    'nproc',
    'open',
  ].concat(
    [
      'openssl',
      'printf',
      'rm',
      'seq',
      'sleep',
      'sort',
      'ssh',
      'tail',
      'tee',
      'true',
      'uname',
      'uniq',
      'wait',
      'wc',
    ],
    ['install', 'redis-server', 'sed', 'awk', 'curl', 'psql', 'redis-cli', 'xdg-open', 'touch', 'createdb'],
  ),
);
/** Put before another command, with so many words of their own. */
const PREFIXES: Record<string, number> = { sudo: 0, env: 0, time: 0, nohup: 0, nice: 0, exec: 0, timeout: 1 };

const PACKAGE = 'node-instances-communication';
const text = (file: string) => readFileSync(file, 'utf8');
const manifestIn = (directory: string) =>
  JSON.parse(text(join(directory, 'package.json'))) as { scripts?: Record<string, string> };

const examples = readdirSync('examples', { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(mjs|ts)$/.test(file) && !file.includes('node_modules'))
  .map((file) => text(join('examples', file)));
const SETTINGS = new Set(
  [...text('.env.example').matchAll(/^# ([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name!),
);
const VARIABLES = new Set([
  ...SETTINGS,
  ...[...text('compose.yaml').matchAll(/\$\{(\w+)/g)].map(([, name]) => name!),
  ...examples.flatMap((code) => [...code.matchAll(/\benv\.([A-Z]\w*)/g)].map(([, name]) => name!)),
  ...['PATH', 'TZ', 'PORT', 'NODE_OPTIONS'],
]);
const SERVICES = Object.keys(readCompose({ REDIS_PASSWORD: 'a', BOARD_PASSWORD: 'b' }));

/** Checks the commands of one block: the lines, from 0, and what is wrong there. */
export async function checkShell(
  commands: readonly ShellCommand[],
  reader: Reader,
): Promise<[number, string][]> {
  const problems: [number, string][] = [];
  let directory = '.';
  for (const { line, assignments, words, writes } of commands) {
    const report = (problem: Problem) => problem !== undefined && problems.push([line, problem]);
    const command = [...words];
    while (command[0] !== undefined && command[0] in PREFIXES) command.splice(0, 1 + PREFIXES[command[0]]!);
    const exported = command[0] === 'export' ? command.splice(0) : [];
    const given = { ...assignments, ...pairs(exported.slice(1)), ...pairs(dockerVariables(command)) };
    for (const problem of checkVariables(given, reader, directory)) report(problem);
    if (command[0] === 'cd') {
      const to = normalize(join(directory, command[1] ?? ''));
      directory = existsSync(to) ? to : '.';
    } else if (command.length > 0) report(await checkCommand(command, reader, directory, writes));
  }
  return problems;
}

async function checkCommand(
  [name = '', ...args]: readonly string[],
  reader: Reader,
  directory: string,
  writes: readonly string[],
): Promise<Problem> {
  const there = (file: string) =>
    existsSync(join(directory, file)) || reader.has(file) || writes.includes(file);
  if (name === 'npm') return checkNpm(args, reader, directory);
  if (name === 'node') return checkNode(args, there, directory);
  if (name === 'npx') {
    const [tool, ...rest] = args.filter((arg) => !/^(-y|--yes)$/.test(arg));
    if (tool === PACKAGE) return checkProgram(rest);
    return existsSync(join('node_modules/.bin', tool ?? ''))
      ? undefined
      : `npx ${tool}, which is no tool of ours`;
  }
  if (name === PACKAGE || name === 'nic') return checkProgram(args);
  if (name === 'docker') return checkDocker(args);
  if (name === 'systemctl') {
    const unit = /^[\w-]+$/.test(args.at(-1)!.split('@')[0]!.replace('.service', '')) && args.length > 1;
    const file = `deploy/${args.at(-1)!.split('@')[0]!.replace('.service', '')}.service`;
    return unit && !existsSync(file) ? `there is no ${file}` : undefined;
  }
  if (name === 'cp')
    return args[0]!.startsWith('/') || there(args[0]!) ? undefined : `there is no file ${args[0]}`;
  if (name === 'curl') return args.map(checkAddress).find((problem) => problem !== undefined);
  if (name === 'psql') {
    const file = args.includes('-f') ? args[args.indexOf('-f') + 1]! : undefined;
    return file === undefined || there(file) ? undefined : `there is no file ${file}`;
  }
  if (name === 'redis-cli') return args.map(checkKey).find((problem) => problem !== undefined);
  if (PLAIN.has(name)) return undefined;
  if (/^\.?\.?\//.test(name) || name.includes('/'))
    return there(name) ? undefined : `there is no file ${name}`;
  return `the command ${name} is none that this test knows: see shellChecks.ts`;
}

function* checkVariables(
  given: Record<string, string>,
  reader: Reader,
  directory: string,
): Generator<Problem> {
  for (const name of Object.keys(given)) {
    if (!VARIABLES.has(name) && !reader.variables.has(name))
      yield `the variable ${name} is not in .env.example`;
  }
  const plain = Object.entries(given).filter(([name, value]) => SETTINGS.has(name) && !value.includes('$'));
  const settings: Environment = Object.fromEntries(plain);
  // Certificates are read, and are not there.
  try {
    resolveConfig({ ...settings, REDIS_CA_FILE: undefined });
  } catch (error) {
    yield (error as Error).message;
  }
  // FILE is the reader's own.
  const task = settings['TASK'];
  if (task === undefined || task.startsWith('/') || reader.has(task)) return;
  if (!existsSync(join(directory, task))) yield `TASK=${task}: there is no such file`;
}

function checkNpm(given: readonly string[], reader: Reader, cwd: string): Promise<Problem> | Problem {
  const args = [...given];
  const at = args.indexOf('--prefix');
  const directory = at === -1 ? cwd : join(cwd, args.splice(at, 2)[1]!);
  if (!existsSync(join(directory, 'package.json'))) return `there is no package.json in ${directory}`;
  const own = args.includes('--') ? args.splice(args.indexOf('--')).slice(1) : [];
  const [verb, ...rest] = args.filter((arg) => !/^(-s|--silent)$/.test(arg));
  if (['ci', 'pack', 'prune', 'publish', 'version', 'audit', 'ls'].includes(verb!)) return undefined;
  if (verb === 'install' || verb === 'i') {
    const known = text('package.json') + text('package-lock.json');
    const unknown = rest.filter(
      (name) => /^[@a-z]/.test(name) && !known.includes(`"${name.replace(/(?<=.)@[^/]*$/, '')}"`),
    );
    return unknown.length > 0 ? `the package ${unknown.join(', ')} is none of ours` : undefined;
  }
  const script = verb === 'run' ? rest[0]! : verb!;
  const does = manifestIn(directory).scripts?.[script];
  if (does === undefined || !/^(run|start|test)$/.test(verb!))
    return `npm ${args.join(' ')}: there is no such script`;
  if (script === 'test') {
    const missing = own.filter((arg) => arg.includes('/') && !existsSync(join(directory, arg)));
    return missing.length > 0 ? `there is no file ${missing.join()}` : undefined;
  }
  if (!does.startsWith('node ')) return undefined;
  return checkNode(
    [...does.split(' ').slice(1), ...own],
    (file) => existsSync(join(directory, file)),
    directory,
  );
}

function checkNode(
  given: readonly string[],
  there: (file: string) => boolean,
  directory: string,
): Promise<Problem> | Problem {
  const args = [...given];
  while (args[0]?.startsWith('-')) {
    const option = args.shift()!;
    if (/^(-e|--eval|-p|--print|-v|--version)$/.test(option)) return undefined;
    if (/^(--import|--require|-r)$/.test(option)) {
      const module = args.shift()!;
      if (module.startsWith('.') && !there(module)) return `there is no file ${module}`;
    }
  }
  const [file, ...rest] = args;
  if (file === undefined) return undefined;
  if (/(^|\/)dist\/main\.js$/.test(file)) return checkProgram(rest);
  if (!there(file)) return `there is no file ${file}`;
  return existsSync(join(directory, file)) ? checkScript(join(directory, file), rest) : undefined;
}

/** Options and words of a script are to be found in its source, or that of its neighbours. Numbers and names of files are its user's. */
function checkScript(file: string, args: readonly string[]): Problem {
  const folder = dirname(file);
  const source = readdirSync(folder, { recursive: folder !== '.', encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter(
      (each) =>
        /\.[mc]?js$/.test(each) &&
        !each.includes('node_modules') &&
        (each === normalize(file) || folder !== '.') &&
        statSync(each).isFile(),
    )
    .map(text)
    .join('\n');
  for (const arg of args) {
    const [, option] = /^--([\w-]+)/.exec(arg) ?? [];
    if (option !== undefined) {
      const spelled = new RegExp(`['"\`]--${option}\\b|\\b${option}['"]?\\s*:|['"]${option}['"]`);
      if (!spelled.test(source)) return `${basename(file)} has no option --${option}`;
      continue;
    }
    const words = /^[a-z][\w-]*(,[a-z][\w-]*)*$/i.test(arg) ? arg.split(',') : [];
    const unknown = words.filter((word) => !new RegExp(`\\b${word}\\b`).test(source));
    if (unknown.length > 0) return `${basename(file)} knows no ${unknown.join()}`;
  }
  return undefined;
}

function checkDocker(args: readonly string[]): Promise<Problem> | Problem {
  const image = args.findIndex((arg) => arg === PACKAGE || arg.startsWith(`${PACKAGE}:`));
  if (args[0] === 'run') return image === -1 ? undefined : checkProgram(args.slice(image + 1));
  if (args[0] !== 'compose') return undefined;
  const scaled = args.map((arg) => /^(\w+)=\d+$/.exec(arg)?.[1]).filter((name) => name !== undefined);
  const unknown = scaled.filter((name) => !SERVICES.includes(name));
  if (unknown.length > 0) return `compose.yaml has no service ${unknown.join()}`;
  if (args[1] !== 'run' && args[1] !== 'exec') return undefined;
  const service = args.findIndex((arg, index) => index > 1 && !arg.startsWith('-'));
  if (!SERVICES.includes(args[service] ?? '')) return `compose.yaml has no service ${args[service]}`;
  return args[1] === 'run' ? checkProgram(args.slice(service + 1)) : undefined;
}

const dockerVariables = (command: readonly string[]) =>
  command[0] === 'docker' ? command.filter((_, index) => /^(-e|--env)$/.test(command[index - 1] ?? '')) : [];

function pairs(words: readonly string[]): Record<string, string> {
  const found = words.map((word) => /^(\w+)=([^]*)$/.exec(word)).filter((match) => match !== null);
  return Object.fromEntries(found.map(([, name, value]) => [name!, value!]));
}

/** An address of the board is one that it answers. */
function checkAddress(arg: string): Problem {
  const path = /^(?:https?:\/\/)?(?:127\.0\.0\.1|localhost):30\d\d(\/[^?]*)?/.exec(arg)?.[1];
  if (path === undefined || path === '/') return undefined;
  const sources = readdirSync('src/web', { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const known = sources.some((file) => text(join('src/web', file)).includes(`'${path}'`));
  return known || path.startsWith('/board') ? undefined : `the board does not answer ${path}`;
}

/** A key of a namespace is one of those that keys.ts spells. */
function checkKey(arg: string): Problem {
  const [, namespace, name] = /^\{([^}]*)\}:(\w+)/.exec(arg) ?? [];
  if (namespace === undefined) return undefined;
  const keys = Object.values(keysOf(namespace)).filter((key) => typeof key === 'string');
  return keys.some((key) => key.startsWith(`{${namespace}}:${name}`)) ? undefined : `no key is called ${arg}`;
}
