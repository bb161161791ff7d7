import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const INCLUDE_CLOCK = /^-- include clock$/m;

/**
 * The text of the Lua script `<directory>/<name>.lua`, without its leading comment. A line `-- include clock` is replaced
 * by clock.lua, which defines `now`. Call it once, when the module is loaded: it reads the file synchronously.
 *
 * @param directory `__dirname` of the module that sends the script; the build copies the scripts to dist
 */
export function loadScript(directory: string, name: string): string {
  const text = readFileSync(join(directory, `${name}.lua`), 'utf8');
  return withoutHead(text).replace(INCLUDE_CLOCK, () => withoutHead(clock()));
}

const clock = () => readFileSync(join(__dirname, 'clock.lua'), 'utf8').trimEnd();

/** Removes the leading comment, which would be sent with every EVAL. */
function withoutHead(text: string): string {
  const lines = text.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('--') || INCLUDE_CLOCK.test(line));
  return lines.slice(end === -1 ? lines.length : end).join('\n');
}
