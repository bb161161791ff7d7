const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
} as const;

export type Style = keyof typeof CODES;

/** Gives text a style, if there are any. Text from elsewhere is made printable before, never after. */
export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_style, text) => text;

export const colored: Paint = (style, text) => {
  const [on, off] = CODES[style];
  return `\u001b[${on}m${text}\u001b[${off}m`;
};

/** Colours are for terminals that have some, and for people who want them. */
export function paintFor(
  stream: { readonly isTTY?: boolean; hasColors?(): boolean },
  { colors }: { readonly colors: boolean },
): Paint {
  return colors && stream.isTTY === true && stream.hasColors?.() === true ? colored : plain;
}
