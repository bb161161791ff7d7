/**
 * Control characters made visible, so that text from a message can not drive somebody's terminal, nor be shown in
 * another order than it has. Line ends and tabs stay. JSON remains the same JSON.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|[\p{Bidi_Control}\u2028\u2029]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
