import { spawnSync } from 'node:child_process';
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
import { tmpdir } from 'node:os';
import { dirname, join, normalize, resolve } from 'node:path';
import ts from 'typescript';
import { anchorsIn, type CodeBlock, codeBlocks, proseOf } from '../helpers/markdown';

/*
 * Generated tables are current, links are valid, and JavaScript in the documents runs. documents.test.ts runs the
 * README's commands, package.test.ts the code of docs/embedding.md, and tasks.test.ts that of docs/tasks.md.
 */

const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', ...markdownIn('docs')];
const PACKAGE = 'node-instances-communication';
const blocks = DOCUMENTS.flatMap(codeBlocks);
const tests = readdirSync('__tests__', { recursive: true, encoding: 'utf8' });

it('the generated tables are current', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['scripts/generateDocs.mjs', '--check'], {
    encoding: 'utf8',
  });
  expect(stdout + stderr).toBe('');
});

it.each([...DOCUMENTS, 'CHANGELOG.md', ...markdownIn('examples')])('the links of %s are valid', (file) => {
  const { links, code, text } = proseOf(file);
  const broken = links.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false;
    const [path, anchor] = target.split('#') as [string, string?];
    const to = path === '' ? file : normalize(join(dirname(file), decodeURI(path)));
    return !existsSync(to) || (anchor !== undefined && !anchorsIn(to).includes(anchor));
  });
  const paths = code.filter((each) =>
    /^(src|docs|deploy|examples|bench|chaos|harness|scripts|__tests__)\/[\w./-]+$/.test(each),
  );
  const named = [...text.matchAll(/\b\w+\.test\.ts\b/g)].map(([name]) => name);
  expect({
    broken,
    files: paths.filter((path) => !existsSync(path) && !path.startsWith('bench/results')),
    tests: named.filter((name) => !tests.some((each) => each.endsWith(`/${name}`))),
  }).toEqual({ broken: [], files: [], tests: [] });
});

it('the tests that CONTRIBUTING.md names exist', () => {
  const guards = [...readFileSync('CONTRIBUTING.md', 'utf8').matchAll(/`(\w+\.test\.ts)`: ("[^|]+)/g)];
  expect(guards.length).toBeGreaterThan(8);
  const missing = guards.flatMap(([, file, names]) => {
    const code = readFileSync(
      join(
        '__tests__',
        tests.find((each) => each.endsWith(`/${file}`))!,
      ),
      'utf8',
    );
    return [...names!.matchAll(/"([^"]+)"/g)].map(([, name]) => name!).filter((name) => !code.includes(name));
  });
  expect(missing).toEqual([]);
});

it('the scripts and variables in the commands exist', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: object };
  const variables = ['.env.example', 'compose.yaml', 'docs/tasks.md']
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const missing = blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ file, code }) => [
      ...[...code.matchAll(/\bnpm run ([\w:-]+)/g)]
        .filter(([, name]) => !(name! in scripts))
        .map(([use]) => `${file}: ${use}`),
      ...[...code.matchAll(/(?:^|\s)([A-Z][A-Z0-9_]+)=/gm)]
        .filter(([, name]) => !new RegExp(`\\b${name}\\b`).test(variables))
        .map(([, name]) => `${file}: ${name}`),
    ]);
  expect(missing).toEqual([]);
});

it('the JavaScript and TypeScript blocks can be parsed', () => {
  const faults = blocks.filter(isScript).flatMap(({ file, line, code }) => {
    const { diagnostics } = ts.transpileModule(code, { fileName: 'x.mts', reportDiagnostics: true });
    return diagnostics!.map(
      ({ messageText }) => `${file}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
    );
  });
  expect(faults).toEqual([]);
});

it('tests of tasks pass, and tasks that need no server commit a batch', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nic-docs-'));
  try {
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(resolve('.'), join(directory, 'node_modules', PACKAGE));
    const alone = blocks.filter((block) => block.language === 'js' && importsOf(block).every(isAvailable));
    for (const block of blocks.filter(isScript)) writeFileSync(join(directory, nameOf(block)), block.code);
    const tasks = alone.filter(
      ({ code }) => /^export .*\bgenerate\b/m.test(code) && /^export .*\bhandle\b/m.test(code),
    );
    writeFileSync(
      join(directory, 'tasks.test.mjs'),
      `import { test } from 'node:test';
       import assert from 'node:assert';
       import { runTask } from '${PACKAGE}/testing';
       for (const file of ${JSON.stringify(tasks.map(nameOf))})
         test(file, async () => {
           const { batches } = await runTask(await import('./' + file), { batches: 2, signal: AbortSignal.timeout(5000) });
           assert(batches.length > 0);
         });`,
    );
    const written = alone.filter((block) => importsOf(block).includes('node:test'));
    expect([tasks.length, written.length].every((count) => count > 0)).toBe(true);
    const files = [...written.map(nameOf), 'tasks.test.mjs'];
    const options = { cwd: directory, encoding: 'utf8', env: { PATH: process.env['PATH'] } } as const;
    const { status, stdout } = spawnSync(
      process.execPath,
      ['--test', '--test-force-exit', ...files],
      options,
    );
    expect([status, stdout]).toEqual([0, expect.anything()]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

function markdownIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => join(directory, name))
    .sort();
}

const isScript = ({ language }: CodeBlock) => language === 'js' || language === 'ts';

const isAvailable = (name: string) => /^(node:|\.)/.test(name) || name === `${PACKAGE}/testing`;

/** Returns the name in the first line, as in `// squares.mjs`, or a generated one. */
function nameOf({ code, file, line, language }: CodeBlock): string {
  const named = /^\/\/ ([\w.-]+\.\w+)\n/.exec(code)?.[1];
  return named ?? `${file.replaceAll('/', '_')}-${line}.${language === 'ts' ? 'mts' : 'mjs'}`;
}

const importsOf = ({ code }: CodeBlock) =>
  ts.preProcessFile(code, true, true).importedFiles.map(({ fileName }) => fileName);
