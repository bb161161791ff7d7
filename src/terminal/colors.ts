import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow';

/** Styles a text, or returns it unchanged. Make untrusted text printable before you style it, never after. */
export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_style, text) => text;

/** Newer versions of Node.js would look at stdout to decide whether to style; `paintFor` decides, for any stream. */
export const colored: Paint = (style, text) => styleText(style, text, { validateStream: false });

/** Styles text only if `stream` is a terminal with colors and the user has not turned them off (`NO_COLOR`). */
export function paintFor(
  stream: { readonly isTTY?: boolean; hasColors?(): boolean },
  { colors }: { readonly colors: boolean },
): Paint {
  return colors && stream.isTTY === true && stream.hasColors?.() === true ? colored : plain;
}
