import { readFileSync } from 'node:fs';
import MarkdownIt from 'markdown-it';

/** A fenced code block of a document. */
export interface CodeBlock {
  readonly file: string;
  /** Line number of its first line, from 1. */
  readonly line: number;
  /** Empty if the fence names no language. */
  readonly language: string;
  readonly code: string;
}

const parse = (file: string) => new MarkdownIt({ html: true }).parse(readFileSync(file, 'utf8'), {});

export function codeBlocks(file: string): CodeBlock[] {
  return parse(file)
    .filter(({ type }) => type === 'fence')
    .map(({ info, content, map }) => ({
      file,
      line: map![0] + 2,
      language: info.trim(),
      code: content.replace(/\n$/, ''),
    }));
}

/** Everything outside fenced blocks: link targets, inline code and the text. */
export function proseOf(file: string): { links: string[]; code: string[]; text: string } {
  const tokens = parse(file).flatMap(({ children }) => children ?? []);
  const attributes = tokens.flatMap((token) => [token.attrGet('href'), token.attrGet('src')]);
  return {
    links: attributes.filter((target) => target !== null).map(String),
    code: tokens.filter(({ type }) => type === 'code_inline').map(({ content }) => content),
    text: tokens.map(({ content }) => content).join(' '),
  };
}

/** Returns the anchors that GitHub generates for the headings. */
export function anchorsIn(file: string): string[] {
  const tokens = parse(file);
  const seen = new Map<string, number>();
  return tokens
    .filter((_, index) => tokens[index - 1]?.type === 'heading_open')
    .map(({ children }) => children!.map(({ content }) => content).join(''))
    .map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-'),
    )
    .map((anchor) => {
      const before = seen.get(anchor) ?? 0;
      seen.set(anchor, before + 1);
      return before === 0 ? anchor : `${anchor}-${before}`;
    });
}
