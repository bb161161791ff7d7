import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import ts from 'typescript';
import { keysOf } from '../../src/keys';

/*
 * Which files of src may import which. A floor is a list of files and rooms; a room is a directory, written with a
 * trailing slash. An import goes down or stays in its room; files directly in src share a room with those of
 * their floor.
 */
const FLOORS = [
  [
    'compileCache.ts',
    'errors.ts',
    'time.ts',
    'redis/address.ts',
    'terminal/',
    'errorLog/details.ts',
    'configuration/loopback.ts',
  ],
  ['configuration/', 'logging/', 'keys.ts', 'instance/shapes.ts'],
  ['redis/', 'supervision/', 'tracing.ts', 'instance/events.ts'],
  ['membership/'],
  ['leadership/', 'tasks/'],
  ['generating/', 'errorLog/'],
  ['handling/', 'group/'],
  ['operating/'],
  ['web/'],
  ['duties/'],
  ['instance/', 'commands/'],
  ['main.ts', 'cli.ts', 'index.ts', 'testing.ts'],
];
const MAX_LINES = 250;

interface Import {
  from: string;
  /** A file of src; undefined for a package. */
  to: string | undefined;
  specifier: string;
  typesOnly: boolean;
}

const SRC = resolve('src');
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.split(sep).join('/'))
  .sort();
const sources = new Map(files.map((file) => [file, parse(file)]));
const imports = files.flatMap(importsOf);
const inside = imports.filter((each): each is Import & { to: string } => each.to !== undefined);

describe('the architecture', () => {
  it('has a floor for every file, and a file for every place on a floor', () => {
    expect(files.filter((file) => placeOf(file) === undefined)).toEqual([]);
    const places = FLOORS.flat();
    expect(places.filter((place) => !files.some((file) => placeOf(file)?.name === place))).toEqual([]);
  });

  it('has only imports that go down or stay in their room', () => {
    const wrong = inside.filter(({ from, to, typesOnly }) => {
      const [start, end] = [placeOf(from)!, placeOf(to)!];
      if (end.floor < start.floor || end.room === start.room) return false;
      // Rooms of one floor may import each other's types.
      return !(end.floor === start.floor && typesOnly);
    });
    expect(wrong.map(shown)).toEqual([]);
  });

  it('has no import cycles, not even of types', () => {
    expect(cycleIn(inside)).toEqual([]);
  });

  it(`has no file of more than ${MAX_LINES} lines`, () => {
    const long = files.filter((file) => textOf(file).trimEnd().split('\n').length > MAX_LINES);
    expect(long).toEqual([]);
  });
});

describe('only in one place', () => {
  it('main.ts ends the process', () => {
    expect(filesWith(isPropertyOfProcess('exit', 'abort', 'kill', 'exitCode', 'reallyExit'))).toEqual([
      'main.ts',
    ]);
  });

  it('main.ts and index.ts read the environment of the process', () => {
    expect(filesWith(isPropertyOfProcess('env'))).toEqual(['index.ts', 'main.ts']);
    expect(imports.filter(({ specifier }) => /^(node:)?process$/.test(specifier)).map(shown)).toEqual([]);
  });

  it('keys.ts spells Redis keys', () => {
    const all = keysOf('x');
    const keys = [all, all.keeper, all.source()]
      .flatMap((each) => Object.values(each) as unknown[])
      .filter((key) => typeof key === 'string');
    const names = [...new Set(keys.flatMap((key) => key.split(':').slice(1))), 'presence', 'lock'];
    const spelling = new RegExp(`\\}:|(?<!^node):(${names.join('|')})\\b`);
    expect(names).toEqual(expect.arrayContaining(['messages', 'lease', 'leader', 'cursor', 'errors']));
    expect(filesWith((node) => spelling.test(literalText(node) ?? ''))).toEqual(['keys.ts']);
  });

  it('leadership/ imports redlock', () => {
    const importers = imports.filter(({ specifier }) => specifier === 'redlock').map(({ from }) => from);
    expect(importers.length).toBeGreaterThan(0);
    expect(importers.filter((file) => !file.startsWith('leadership/'))).toEqual([]);
  });
});

describe('conventions', () => {
  it('there are no default exports', () => {
    const isDefaultExport = (node: ts.Node) =>
      ts.isExportAssignment(node) ||
      (ts.isExportSpecifier(node) && node.name.text === 'default') ||
      (ts.canHaveModifiers(node) &&
        ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword) === true);
    expect(filesWith(isDefaultExport)).toEqual([]);
  });

  it('there are no enums and no namespaces', () => {
    expect(filesWith((node) => ts.isEnumDeclaration(node) || ts.isModuleDeclaration(node))).toEqual([]);
  });

  it('files are named in camelCase, and none is called utils or common', () => {
    const names = files.flatMap((file) => file.replace(/\.ts$/, '').split('/'));
    expect(names.filter((name) => !/^[a-z][a-zA-Z0-9]*$/.test(name))).toEqual([]);
    expect(names.filter((name) => /^(utils?|common|helpers?|misc)$/.test(name))).toEqual([]);
  });
});

describe('the checks themselves', () => {
  it('detect every kind of import', () => {
    const source = `
      import a from './a'; import type { B } from './b'; import { type C } from './c'; import { type D, d } from './d';
      import './e'; export * from './f'; export type { G } from './g'; export { type H } from './h';
      const i = await import('./i.js'); type J = import('./j').J; import k = require('./k'); const l = require('./l');`;
    const seen = importsIn(ts.createSourceFile('x.ts', source, ts.ScriptTarget.Latest, true));
    expect(seen.map(({ specifier, typesOnly }) => `${specifier} ${typesOnly ? 'types' : 'values'}`)).toEqual([
      ...['./a values', './b types', './c types', './d values', './e values', './f values'],
      ...['./g types', './h types', './i.js values', './j types', './k values', './l values'],
    ]);
  });

  it('detect a cycle', () => {
    const edge = (from: string, to: string) => ({ from, to, specifier: to, typesOnly: true });
    expect(cycleIn([edge('a', 'b'), edge('b', 'c'), edge('a', 'c')])).toEqual([]);
    expect(cycleIn([edge('x', 'a'), edge('a', 'b'), edge('b', 'c'), edge('c', 'a')])).toEqual([
      'a',
      'b',
      'c',
      'a',
    ]);
  });
});

/** Returns the place in FLOORS that a file belongs to. */
function placeOf(file: string): { name: string; floor: number; room: string } | undefined {
  const room = file.includes('/') ? file.slice(0, file.indexOf('/') + 1) : undefined;
  // A file of a room can have its own floor.
  const name = FLOORS.flat().includes(file) ? file : (room ?? file);
  const floor = FLOORS.findIndex((places) => places.includes(name));
  return floor === -1 ? undefined : { name, floor, room: room ?? `floor ${floor}` };
}

function textOf(file: string): string {
  return readFileSync(join(SRC, file), 'utf8');
}

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, textOf(file), ts.ScriptTarget.Latest, true);
}

function importsOf(file: string): Import[] {
  return importsIn(sources.get(file)!).map(({ specifier, typesOnly }) => {
    const target = relative(SRC, resolve(SRC, dirname(file), specifier))
      .split(sep)
      .join('/');
    const to = `${target.replace(/\.js$/, '')}.ts`;
    if (specifier.startsWith('.') && !files.includes(to) && target !== '../package.json') {
      throw new Error(`${file} imports ${specifier}, which is no file of src`);
    }
    return {
      from: file,
      to: files.includes(to) && specifier.startsWith('.') ? to : undefined,
      specifier,
      typesOnly,
    };
  });
}

function importsIn(source: ts.SourceFile): Pick<Import, 'specifier' | 'typesOnly'>[] {
  return nodesIn(source).flatMap((node) => {
    const specifier = specifierOf(node);
    return specifier === undefined ? [] : [{ specifier, typesOnly: bringsTypesOnly(node) }];
  });
}

function specifierOf(node: ts.Node): string | undefined {
  let found: ts.Node | undefined;
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) found = node.moduleSpecifier;
  else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) found = node.argument.literal;
  else if (ts.isExternalModuleReference(node)) found = node.expression;
  else if (ts.isCallExpression(node) && /^(import|require)$/.test(node.expression.getText())) {
    found = node.arguments[0];
  }
  return found !== undefined && ts.isStringLiteral(found) ? found.text : undefined;
}

function bringsTypesOnly(node: ts.Node): boolean {
  if (ts.isImportTypeNode(node)) return true;
  if (ts.isExportDeclaration(node)) {
    const { exportClause } = node;
    const named = exportClause !== undefined && ts.isNamedExports(exportClause) ? exportClause.elements : [];
    return node.isTypeOnly || (named.length > 0 && named.every((each) => each.isTypeOnly));
  }
  if (!ts.isImportDeclaration(node) || node.importClause === undefined) return false;
  const { importClause } = node;
  if (importClause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const bindings = importClause.namedBindings;
  if (importClause.name !== undefined || bindings === undefined || !ts.isNamedImports(bindings)) return false;
  return bindings.elements.length > 0 && bindings.elements.every((each) => each.isTypeOnly);
}

function nodesIn(root: ts.Node): ts.Node[] {
  const nodes: ts.Node[] = [];
  const visit = (node: ts.Node) => {
    nodes.push(node);
    ts.forEachChild(node, visit);
  };
  visit(root);
  return nodes;
}

/** Returns the files that contain a matching node. Comments are not nodes. */
function filesWith(matches: (node: ts.Node) => boolean): string[] {
  return files.filter((file) => nodesIn(sources.get(file)!).some(matches));
}

function isPropertyOfProcess(...names: string[]): (node: ts.Node) => boolean {
  return (node) => {
    if (ts.isVariableDeclaration(node) && node.initializer?.getText() === 'process') return true;
    if (ts.isPropertyAccessExpression(node)) {
      return /\bprocess$/.test(node.expression.getText()) && names.includes(node.name.text);
    }
    if (ts.isElementAccessExpression(node)) {
      return (
        /\bprocess$/.test(node.expression.getText()) &&
        names.includes(literalText(node.argumentExpression) ?? '')
      );
    }
    return false;
  };
}

/** Returns the text of a string, or of a piece of a template between its expressions. */
function literalText(node: ts.Node): string | undefined {
  const isPiece =
    ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
  return isPiece ? node.text : undefined;
}

/** Returns the first cycle found, with its start repeated at the end; empty if there is none. */
function cycleIn(edges: readonly { from: string; to: string }[]): string[] {
  const done = new Set<string>();
  const search = (file: string, path: string[]): string[] => {
    const start = path.indexOf(file);
    if (start !== -1) return [...path.slice(start), file];
    if (done.has(file)) return [];
    done.add(file);
    for (const { to } of edges.filter(({ from }) => from === file)) {
      const cycle = search(to, [...path, file]);
      if (cycle.length > 0) return cycle;
    }
    return [];
  };
  for (const { from } of edges) {
    const cycle = search(from, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

const shown = ({ from, specifier, typesOnly }: Import) =>
  `${from} imports ${typesOnly ? 'types of ' : ''}${specifier}`;
