import type { ErrorDetails } from '../errorLog/details';

/** Formats the error and its causes as lines, each cause indented further. */
export function errorLines(error: ErrorDetails, stacks: boolean): string[] {
  const lines: string[] = [];
  addError(lines, error, stacks, '  ', '');
  return lines;
}

function addError(lines: string[], error: ErrorDetails, stacks: boolean, margin: string, lead: string): void {
  const { name, message, code, cause, errors = [] } = error;
  const suffix = code === undefined ? '' : ` (${inline(String(code))})`;
  lines.push(`${margin}${lead}${inline(name)}: ${indent(message, `${margin}  `)}${suffix}`);
  const deeper = `${margin}  `;
  if (stacks) lines.push(...framesOf(error).map((frame) => `${deeper}${frame}`));
  errors.forEach((each, index) => {
    addError(lines, each, stacks, deeper, `error ${index + 1} of ${errors.length}: `);
  });
  if (cause !== undefined) addError(lines, cause, stacks, deeper, 'caused by: ');
}

/** Indents the lines after the first, so that the text of an error cannot be mistaken for this program's output. */
export function indent(text: string, margin: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll('\n', `\n${margin}`);
}

/** Formats the text as one line. */
export function inline(text: string): string {
  return text.replaceAll('\n', '\\n');
}

/** Returns the frames of a stack, without its head, which repeats the message. */
export function framesOf({ message, stack }: Pick<ErrorDetails, 'message' | 'stack'>): string[] {
  const end = message === '' ? -1 : stack.indexOf(message);
  const tail = end === -1 ? stack : stack.slice(end + message.length);
  return tail.split('\n').flatMap((line) => (/^\s*at /.test(line) ? [line.trim()] : []));
}
