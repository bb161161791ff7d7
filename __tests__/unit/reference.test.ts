import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';

const REFERENCE = 'docs/reference';

it('docs/reference is up to date with "npm run reference"', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nic-reference-'));
  try {
    execFileSync(process.execPath, ['node_modules/typedoc/bin/typedoc', '--out', directory], {
      stdio: 'pipe',
    });
    const files = readdirSync(directory).sort();
    expect(readdirSync(REFERENCE).sort()).toEqual(files);
    for (const file of files) {
      expect(readFileSync(join(REFERENCE, file), 'utf8')).toBe(readFileSync(join(directory, file), 'utf8'));
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it.each(['src/index.ts', 'src/testing.ts'])('everything that %s exports has a docstring', (file) => {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const declared = source.statements.filter(
    (node) =>
      (ts.isInterfaceDeclaration(node) ||
        ts.isFunctionDeclaration(node) ||
        ts.isTypeAliasDeclaration(node)) &&
      node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
  ) as (ts.InterfaceDeclaration | ts.FunctionDeclaration | ts.TypeAliasDeclaration)[];
  expect(declared.length).toBeGreaterThan(2);
  const bare = declared.filter((node) => ts.getJSDocCommentsAndTags(node).length === 0);
  expect(bare.map(({ name }) => name?.text)).toEqual([]);
});
