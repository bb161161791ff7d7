import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, normalize, resolve } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { DockerfileParser } from 'dockerfile-ast';
import ts from 'typescript';
import { parseAllDocuments } from 'yaml';
import { anchorsIn, type CodeBlock, codeBlocks, linksIn, proseOf } from '../helpers/markdown';
import { isWritten } from '../helpers/writtenTexts';
import { checkShell, type Reader } from '../helpers/shellChecks';
import { shellCommands } from '../helpers/shellLines';

/*
 * What the documents show is so: each fenced block is run, compiled, parsed, or held line by line against what there
 * is. A block of a kind that nobody checks fails. Found are all documents, also those that are yet to come.
 */

const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', ...markdownIn('docs')];
const PACKAGE = 'node-instances-communication';
const blocks = DOCUMENTS.flatMap((file) => codeBlocks(file));
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, string>>;

const SCRIPT = /^(js|mjs|cjs|javascript|ts|mts|typescript)$/;
const scripts = blocks.filter(({ language }) => SCRIPT.test(language));

/** What is wrong with a block, line by line from 0; by its language. */
const CHECKS: Record<string, (block: CodeBlock) => Found | Promise<Found>> = {
  sh: (block) => checkShell(shellCommands(block.code), readerOf(block.file)),
  // Compiled and run below.
  js: () => [],
  json: ({ code }) => (isJson(code) ? [] : lines(code, isJson, 'no JSON')),
  yaml: ({ code }) =>
    parseAllDocuments(code).flatMap(({ errors }) =>
      errors.map(({ message, linePos }): [number, string] => [linePos![0].line - 1, message.split('\n')[0]!]),
    ),
  dockerfile: checkDockerfile,
  // leastPrivilege.test.ts runs instances with just these rights.
  acl: ({ code }) =>
    lines(
      code,
      (line) => line.split(' ').every((rule) => /^(on|off|[>~&+-].+)$/.test(rule)),
      'no rule of an ACL',
    ),
  ini: ({ code }) =>
    lines(code, (line) => /^(\s*[#;].*|\[.+\]|\w[\w.-]*\s*=.*)?$/.test(line), 'neither section nor setting'),
  sql: checkSql,
  // The numbers are those of one day; the names are not.
  promql: ({ code }) =>
    lines(
      code,
      (line) => [...line.matchAll(/\bnic_\w+/g)].every(([name]) => isWritten(name)),
      'no such metric',
    ),
  '': checkShown,
  text: checkShown,
};
const ALIASES: Record<string, string> = {
  ...{ bash: 'sh', shell: 'sh', console: 'text', yml: 'yaml', jsonl: 'json', env: 'text', dotenv: 'text' },
  ...{ systemd: 'ini', service: 'ini', txt: 'text', log: 'text' },
};

type Found = [number, string][];

it('there are documents, and blocks in them', () => {
  expect(DOCUMENTS).toEqual(expect.arrayContaining(['docs/tasks.md', 'docs/reliability.md']));
  expect(blocks.length).toBeGreaterThan(30);
});

it.each(DOCUMENTS)('%s shows what is so', async (file) => {
  const problems: string[] = [];
  for (const block of blocks.filter((each) => each.file === file)) {
    const language = SCRIPT.test(block.language) ? 'js' : (ALIASES[block.language] ?? block.language);
    const found = await findIn(block, language).catch((error: Error): Found => [[0, error.message]]);
    problems.push(...found.map(([line, problem]) => `${file}:${block.line + line}: ${problem}`));
  }
  expect(problems).toEqual([]);
});

it.each([...DOCUMENTS, 'CHANGELOG.md', ...markdownIn('examples')])('%s leads to what there is', (file) => {
  const broken = linksIn(file).filter(({ target }) => {
    if (/^[a-z]+:/.test(target)) return false;
    const [path, anchor] = target.split('#') as [string, string?];
    const to = path === '' ? file : normalize(join(dirname(file), decodeURI(path)));
    if (!existsSync(to)) return true;
    return anchor !== undefined && to.endsWith('.md') && !anchorsIn(to).has(anchor);
  });
  // Files named in the text: by their whole path, and tests by their name alone.
  const tests = readdirSync('__tests__', { recursive: true, encoding: 'utf8' });
  const named = proseOf(file).flatMap((line, index) => [
    ...[
      ...line.matchAll(
        /`((?:src|docs|deploy|examples|bench|chaos|testkit|scripts|__tests__|\.ci)\/[\w./@-]*\w)[` ]/g,
      ),
    ]
      .filter(([, path]) => !existsSync(path!) && !path!.startsWith('bench/results'))
      .map(([, path]) => `${file}:${index + 1}: ${path}`),
    ...[...line.matchAll(/\b(\w+\.test\.ts)\b/g)]
      .filter(([, name]) => !tests.some((each) => each.endsWith(`/${name}`)))
      .map(([, name]) => `${file}:${index + 1}: ${name}`),
  ]);
  expect([...broken.map(({ line, target }) => `${file}:${line}: ${target}`), ...named]).toEqual([]);
});

it('the invariants of CONTRIBUTING.md are guarded by tests that there are', () => {
  const cells = [
    ...readFileSync('CONTRIBUTING.md', 'utf8').matchAll(/^\|[^|]+\| `(\w+\.test\.ts)`(: "[^|]+)?/gm),
  ];
  expect(cells.length).toBeGreaterThan(10);
  const tests = readdirSync('__tests__', { recursive: true, encoding: 'utf8' });
  const missing = cells.flatMap(([, file, names = '']) => {
    const code = readFileSync(
      join(
        '__tests__',
        tests.find((each) => each.endsWith(`/${file}`))!,
      ),
      'utf8',
    );
    return [...names.matchAll(/"([^"]+)"/g)].map(([, name]) => name!).filter((name) => !code.includes(name));
  });
  expect(missing).toEqual([]);
});

describe('code', () => {
  it('compiles, TypeScript with the types of the package as it is built', () => {
    const files = new Map(scripts.map((block) => [resolve('docs-blocks', pathOf(block)), block]));
    const typed = [...files.keys()].filter((name) => name.endsWith('ts'));
    const options: ts.CompilerOptions = {
      ...{ target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext, types: ['node'] },
      ...{ strict: true, skipLibCheck: true, noEmit: true },
    };
    const disk = ts.createCompilerHost(options);
    const codeOf = (name: string) => files.get(name)?.code;
    const program = ts.createProgram(typed, options, {
      ...disk,
      fileExists: (name) => files.has(name) || disk.fileExists(name),
      readFile: (name) => codeOf(name) ?? disk.readFile(name),
      directoryExists: (name) => name.startsWith(resolve('docs-blocks')) || existsSync(name),
      getSourceFile: (name, target) =>
        files.has(name)
          ? ts.createSourceFile(name, codeOf(name)!, target, true)
          : disk.getSourceFile(name, target),
    });
    const diagnostics = [...files.keys()].flatMap((name) => {
      const source = program.getSourceFile(name);
      if (source !== undefined && typed.includes(name))
        return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
      return ts.transpileModule(codeOf(name)!, { fileName: name, reportDiagnostics: true }).diagnostics!;
    });
    const found = diagnostics.map(({ file, start, messageText }) => {
      const block = files.get(resolve(file!.fileName))!;
      const line = block.line + file!.getLineAndCharacterOfPosition(start!).line;
      return `${block.file}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    });
    expect(typed.length).toBeGreaterThan(0);
    expect(found).toEqual([]);
  });

  it('imports what there is', () => {
    const known = new Set<string>();
    for (const kind of ['dependencies', 'devDependencies', 'peerDependencies'])
      for (const name of Object.keys(manifest[kind]!)) known.add(name);
    for (const path of Object.keys(manifest['exports']!)) known.add(join(PACKAGE, path));
    const unknown = scripts.flatMap((block) =>
      importsOf(block)
        .filter(
          (name) =>
            !known.has(name) &&
            !isBuiltin(name) &&
            !(name.startsWith('.') && readerOf(block.file).has(name.slice(2))),
        )
        .map((name) => `${block.file}:${block.line}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  // Instances (createInstance) are run by package.test.ts, and what needs a server by tasks.test.ts.
  it('runs: tests as they are, and tasks for two batches', async () => {
    const alone = scripts.filter((block) =>
      importsOf(block).every((name) => /^(node:|\.)/.test(name) || name === `${PACKAGE}/testing`),
    );
    const directory = mkdtempSync(join(tmpdir(), 'nic-docs-'));
    try {
      mkdirSync(join(directory, 'node_modules'));
      symlinkSync(resolve('.'), join(directory, 'node_modules', PACKAGE));
      for (const block of scripts) {
        mkdirSync(join(directory, dirname(pathOf(block))), { recursive: true });
        writeFileSync(join(directory, pathOf(block)), block.code);
      }
      const isTest = (block: CodeBlock) => importsOf(block).includes('node:test');
      const plain = alone.filter((block) => !/^m?ts|typescript/.test(block.language));
      const tests = plain.filter(isTest).map(pathOf);
      const tasks = plain.filter(isTask).map(pathOf);
      expect([tests.length, tasks.length].every((count) => count > 0)).toBe(true);
      execFileSync(process.execPath, ['--test', ...tests], {
        cwd: directory,
        env: { PATH: process.env['PATH'] },
      });
      expect(await runTasks(directory, tasks)).toEqual(tasks.map((task) => `${task}: committed`));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

it('what is wrong is seen', async () => {
  const reader = { has: () => false, variables: new Set<string>() };
  const wrong = async (code: string) =>
    (await checkShell(shellCommands(code), reader)).map(([, problem]) => problem);
  const refused = [
    ...['npm run nothing', 'npm start -- getErorrs', 'npm start -- status --jsn', 'TASK=none.mjs npm start'],
    ...[
      'LEASE_TTL=1 npm start',
      'LEASE_TTL_MS=x npm start',
      'node bench/none.mjs',
      'npm run chaos -- --hours 1',
    ],
    ...['npm run chaos -- --redis sentinels', 'frobnicate', 'echo a && npm start -- getErrors --jsn | jq .'],
    ...[
      'docker run -e REDIS=x node-instances-communication',
      'docker run node-instances-communication statuss',
    ],
    ...[
      'docker compose up --scale ap=5',
      'npm install left-pad',
      'curl http://127.0.0.1:3000/ready',
      'cp none /tmp',
    ],
    ...[
      "redis-cli HGET '{nic}:kursor' cursor",
      'systemctl start nodes',
      'for i in 1 2; do npm run none; done',
    ],
  ];
  for (const code of refused) expect([code, ...(await wrong(code))]).toHaveLength(2);
  const fine = [
    'npm start # status',
    "printf 'a #b\\n' > x.txt\nTASK=x.txt npm start",
    'npm \\\n  start -- status --watch',
  ];
  const reading = { ...reader, has: (file: string) => file === 'x.txt' };
  for (const code of fine) expect(await checkShell(shellCommands(code), reading)).toEqual([]);
});

/** What is wrong with a block of a language; rejects with what it can not be read for. */
async function findIn(block: CodeBlock, language: string): Promise<Found> {
  const check = CHECKS[language];
  if (check === undefined) return [[0, `nothing checks blocks of the language "${language}"`]];
  return check(block);
}

function markdownIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => join(directory, name))
    .sort();
}

/** The name that a block has by its first line, as in `// squares.mjs`. */
const nameOf = ({ code }: CodeBlock) => /^(?:\/\/|#|--) ([\w./-]+\.\w+)\n/.exec(code)?.[1];

/** Where a block lies among those of its document. */
function pathOf(block: CodeBlock): string {
  const kind = /ts|typescript/.test(block.language) ? 'mts' : /\brequire\(/.test(block.code) ? 'cjs' : 'mjs';
  return join(block.file.replaceAll('/', '_'), nameOf(block) ?? `line${block.line}.${kind}`);
}

function importsOf({ code }: CodeBlock): string[] {
  const { importedFiles } = ts.preProcessFile(code, true, true);
  return importedFiles.map(({ fileName }) => fileName);
}

const isTask = ({ code }: CodeBlock) =>
  /^export .*\bgenerate\b/m.test(code) && /^export .*\bhandle\b/m.test(code);

/** What can not be read as shell is told where the block itself is checked. */
function writesOf(code: string): readonly string[] {
  try {
    return shellCommands(code).flatMap(({ writes }) => writes);
  } catch {
    return [];
  }
}

function readerOf(file: string): Reader {
  const own = blocks.filter((block) => block.file === file);
  const written = own.flatMap(({ language, code }) =>
    /^(sh|bash|shell)$/.test(language) ? writesOf(code) : [],
  );
  const named = new Set([...written, ...own.map(nameOf)]);
  const prose = proseOf(file).join('\n');
  const variables = own.flatMap(({ code }) =>
    [...code.matchAll(/\benv\.([A-Z]\w*)/g)].map(([, name]) => name!),
  );
  return { has: (name) => named.has(name) || prose.includes(`\`${name}\``), variables: new Set(variables) };
}

function isJson(code: string): boolean {
  try {
    return JSON.parse(code) !== undefined;
  } catch {
    return false;
  }
}

/** The lines that are not as they should be. Empty ones are. */
function lines(code: string, isRight: (line: string) => boolean, problem: string): Found {
  const all = code.split('\n').map((line, index): [number, string] => [index, line]);
  return all
    .filter(([, line]) => line !== '' && !isRight(line))
    .map(([index, line]) => [index, `${problem}: ${line}`]);
}

async function checkDockerfile({ code, file }: CodeBlock): Promise<Found> {
  const known = new Set([
    'FROM',
    'COPY',
    'ENV',
    'RUN',
    'USER',
    'WORKDIR',
    'CMD',
    'ENTRYPOINT',
    'ARG',
    'EXPOSE',
    'HEALTHCHECK',
  ]);
  const found: Found = [];
  for (const instruction of DockerfileParser.parse(code).getInstructions()) {
    const line = instruction.getRange().start.line;
    if (!known.has(instruction.getKeyword())) found.push([line, `unknown: ${instruction.getKeyword()}`]);
    if (instruction.getKeyword() !== 'ENV') continue;
    const copied = { ...readerOf(file), has: () => true };
    found.push(...(await checkShell(shellCommands(instruction.getRawArgumentsContent() ?? ''), copied)));
  }
  return found;
}

/** Statements that begin as such, on tables that an example has. outbox.test.ts runs those of its README. */
function checkSql({ code }: CodeBlock): Found {
  const schemas = readdirSync('examples', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.sql'))
    .map((name) => readFileSync(join('examples', name), 'utf8'))
    .join('\n');
  const made = new Set(
    [...`${schemas}\n${code}`.matchAll(/\bTABLE (?:IF NOT EXISTS )?(\w+)/gi)].map(([, name]) => name!),
  );
  const used = [...code.matchAll(/\b(?:FROM|INTO|UPDATE|ON TABLE)\s+(?!SET\b)(\w+)/gi)].map(
    ([, name]) => name!,
  );
  return used
    .filter((name) => !made.has(name) && !name.startsWith('pg_'))
    .map((name) => [0, `there is no table ${name}`]);
}

/** What a person is shown: lines of a log, settings, drawings; or what comes of the commands before it. */
function checkShown(block: CodeBlock): Found | Promise<Found> {
  const { code, file, section, line } = block;
  const isDrawing = /[─│└├▲▼→]/.test(code);
  const isOutput = blocks.some(
    (other) =>
      other.file === file &&
      other.section === section &&
      other.line < line &&
      /^(sh|bash|shell)$/.test(other.language),
  );
  const rows = code.split('\n').filter((row) => row !== '');
  // Between the lines of a log, a hint to the person at the terminal is indented.
  const isHint = (row: string): boolean => row.startsWith('  ');
  if (rows.every((row) => isHint(row) || /^\d\d:\d\d:\d\d (error|warn|info|debug) /.test(row)))
    return lines(
      code,
      (row) => isHint(row) || isWritten(/^\S+ \w+ +(.*?)(?: {2}|$)/.exec(row)![1]!),
      'nothing logs this',
    );
  if (rows.every((row) => /^(#.*|[A-Z][A-Z0-9_]*=\S*)$/.test(row)))
    return checkShell(shellCommands(code), readerOf(file));
  return isDrawing || (isOutput && block.language !== '')
    ? []
    : [[0, 'neither a log, nor settings, nor a drawing; what a command of this section prints is ```text']];
}

/** Runs tasks as tests of them would, all in one process. */
async function runTasks(directory: string, tasks: readonly string[]): Promise<string[]> {
  const script = `
    import { runTask } from '${PACKAGE}/testing';
    const results = await Promise.all(${JSON.stringify(tasks)}.map(async (file) => {
      try {
        const task = await import('./' + file);
        const { batches } = await runTask(task, { batches: 2, signal: AbortSignal.timeout(5000) });
        return file + (batches.length > 0 ? ': committed' : ': committed nothing');
      } catch (error) {
        return file + ': ' + error.message;
      }
    }));
    console.log(JSON.stringify(results));
    process.exit();`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] },
  });
  return JSON.parse(await textOf(child.stdout)) as string[];
}
