import { printable } from './printable';

const WIDE =
  /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|[\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]/u;
const WITHOUT_WIDTH = /\p{Mn}|\p{Me}|\p{Cf}/u;

/** Approximate number of columns that a character occupies; terminals differ. */
function columnsOf(character: string): number {
  if (WITHOUT_WIDTH.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** Number of columns that a line occupies on a terminal. */
export function widthOf(line: string): number {
  let width = 0;
  for (const character of line) width += columnsOf(character);
  return width;
}

/** Returns any value as one line of text without control characters. */
export function oneLine(value: unknown): string {
  return printable(String(value)).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** Shortens a line to `width` columns by cutting its middle, since names often differ only at their ends. */
export function fit(line: string, width: number): string {
  if (widthOf(line) <= width) return line;
  const characters = [...line];
  const head = take(characters, Math.ceil((width - 1) / 2));
  const tail = take(characters.toReversed(), width - 1 - widthOf(head));
  return `${head}…${[...tail].toReversed().join('')}`;
}

/** Returns as many leading characters as fit. */
function take(characters: readonly string[], width: number): string {
  let taken = '';
  let left = width;
  for (const character of characters) {
    left -= columnsOf(character);
    if (left < 0) break;
    taken += character;
  }
  return taken;
}

export function padStart(line: string, width: number): string {
  return ' '.repeat(Math.max(0, width - widthOf(line))) + line;
}

export function padEnd(line: string, width: number): string {
  return line + ' '.repeat(Math.max(0, width - widthOf(line)));
}
