import { readFileSync } from 'node:fs';

/** A fenced block of a document. */
export interface CodeBlock {
  readonly file: string;
  /** Of its first line, from 1; the fence is the line before. */
  readonly line: number;
  /** Empty where none is given. */
  readonly language: string;
  readonly code: string;
  /** The headings it stands under end here: the same for all blocks of a section. */
  readonly section: number;
}

export interface Link {
  readonly file: string;
  readonly line: number;
  readonly target: string;
}

/** The fenced blocks of a Markdown file, those in lists included. */
export function codeBlocks(file: string, text = readFileSync(file, 'utf8')): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { fence: string; indent: number; language: string; line: number; lines: string[] } | undefined;
  let section = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const [, indent = '', fence, info = ''] = /^(\s*(?:> )?)(`{3,}|~{3,})\s*(.*)$/.exec(line) ?? [];
    if (open === undefined) {
      if (/^#{1,6} /.test(line)) section = index;
      if (fence === undefined) continue;
      const language = info.split(/[\s{]/, 1)[0]!.toLowerCase();
      open = { fence, indent: indent.length, language, line: index + 2, lines: [] };
    } else if (fence?.startsWith(open.fence) && info === '') {
      const { language, line: start, lines } = open;
      blocks.push({ file, line: start, language, code: lines.join('\n'), section });
      open = undefined;
    } else open.lines.push(line.slice(open.indent));
  }
  if (open !== undefined) throw new Error(`${file}:${open.line - 1}: a fence without an end`);
  return blocks;
}

/** The file without its fenced blocks, line by line. */
export function proseOf(file: string, text = readFileSync(file, 'utf8')): string[] {
  const lines = text.split('\n');
  for (const { line, code } of codeBlocks(file, text))
    lines.fill('', line - 2, line + code.split('\n').length);
  return lines;
}

/** Links and images, also where the text is broken over two lines. References and bare addresses are not among them. */
export function linksIn(file: string): Link[] {
  const prose = proseOf(file)
    .join('\n')
    .replaceAll(/`[^`]*`/g, (code) => code.replace(/[^\n]/g, ' '));
  return [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)].map((match) => ({
    file,
    line: prose.slice(0, match.index).split('\n').length,
    target: match[1]!,
  }));
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsIn(file: string): Set<string> {
  const anchors = new Set<string>();
  for (const line of proseOf(file)) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    const id = /<a (?:id|name)="([^"]+)"/.exec(line)?.[1];
    if (id !== undefined) anchors.add(id);
    if (heading === undefined) continue;
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = text.replaceAll(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-');
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}
