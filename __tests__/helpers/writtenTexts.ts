import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

let patterns: RegExp[] | undefined;

/** Whether some text of the program or an example reads so, with anything in place of what it inserts. */
export function isWritten(message: string): boolean {
  patterns ??= [...sourcesIn('src'), ...sourcesIn('examples')].flatMap((file) => {
    const found: RegExp[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isStringLiteralLike(node)) found.push(exactly(node.text));
      else if (ts.isTemplateExpression(node)) {
        const [head, ...spans] = [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)];
        // One that is nothing but what it inserts would read like anything.
        if (`${head}${spans.join('')}`.length > 3) found.push(exactly(head, ...spans));
      }
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest));
    return found;
  });
  return patterns.some((pattern) => pattern.test(message));
}

const exactly = (...pieces: string[]) =>
  new RegExp(`^${pieces.map((piece) => piece.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('.*')}$`);

function sourcesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs)$/.test(name) && !name.includes('node_modules'))
    .map((name) => join(directory, name))
    .filter((name) => statSync(name).isFile());
}
