/**
 * Escapes control characters, so that text from a message cannot control the terminal or be displayed in another order.
 * Line feeds and tabs stay. JSON text still parses to the same value.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|[\p{Bidi_Control}\u2028\u2029]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
