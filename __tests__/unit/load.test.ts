import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { AppError } from '../../src/errors';
import { checkTask } from '../../src/tasks/load';
import { type ModuleHost, openModuleHost } from '../helpers/moduleHost';

let host: ModuleHost;
let directory: string;

beforeAll(async () => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'nic-load-')));
  host = await openModuleHost();
});

afterAll(async () => {
  await host.close();
  rmSync(directory, { recursive: true, force: true });
});

function write(name: string, source: string): string {
  const file = join(directory, name);
  writeFileSync(file, source);
  return file;
}

/** Returns the result of the loaded task's `handle`, which proves that it is the one in the file. */
const load = (path: string) => host.run<unknown>('loadAndHandle', { path, message: 20 });

const BODY = 'async function* generate() {}\nfunction handle(message) { return message + 1; }\n';

describe('a task', () => {
  it.each([
    ['named.mjs', `${BODY} export { generate, handle };`],
    ['default.mjs', `${BODY} export default { generate, handle };`],
    ['both.mjs', `${BODY} export { generate, handle }; export default 'something else';`],
    ['more.mjs', `${BODY} export { generate, handle }; export const other = 1;`],
    [
      'class.mjs',
      `export default new (class { step = 1; generate() {} handle(n) { return n + this.step; } })();`,
    ],
    ['onlyHandle.mjs', 'export function handle(message) { return message + 1; }'],
    ['onlyHandle.cjs', 'exports.handle = (message) => message + 1;'],
    ['onlyHandleDefault.mjs', 'export default { handle: (message) => message + 1 };'],
    ['await.mjs', `${BODY} await null; export { generate, handle };`],
    ['assigned.cjs', `${BODY} module.exports = { generate, handle };`],
    ['exports.cjs', `${BODY} exports.generate = generate; exports.handle = handle;`],
    [
      'computed.cjs',
      `${BODY} module.exports = Object.fromEntries([['generate', generate], ['handle', handle]]);`,
    ],
    [
      'compiled.cjs',
      `${BODY} Object.defineProperty(exports, '__esModule', { value: true }); exports.default = { generate, handle };`,
    ],
    ['plain.js', `${BODY} module.exports = { generate, handle };`],
    ['with space and #?%41.mjs', `${BODY} export { generate, handle };`],
  ])('is loaded from %s', async (name, source) => {
    await expect(load(write(name, source))).resolves.toBe(21);
  });

  it('is found relative to the working directory', async () => {
    const file = write('relative.mjs', `${BODY} export { generate, handle };`);
    await expect(load(relative(process.cwd(), file))).resolves.toBe(21);
  });
});

describe('an invalid task is refused with exit code 2, naming the file, what was found and what was expected', () => {
  it.each([
    ['empty.mjs', '', 'nothing'],
    ['empty.cjs', '', 'nothing'],
    ['data.mjs', 'export const a = 1, b = "x", c = null;', 'a (number), b (string), c (null)'],
    ['onlyGenerate.mjs', 'export async function* generate() {}', 'generate (function)'],
    ['otherNames.mjs', 'export function run() {}', 'run (function)'],
    ['values.mjs', 'export const generate = [], handle = "handle";', 'generate (object), handle (string)'],
    [
      'misspelt.mjs',
      'export function generate() {}\nexport function handler() {}',
      'generate (function), handler (function)',
    ],
    ['defaultNull.mjs', 'export default null;', 'default (null)'],
    ['defaultHalf.mjs', 'export default { generate() {} };', 'generate (function)'],
    ['function.cjs', 'module.exports = () => {};', 'a value of type function'],
    ['primitive.cjs', 'module.exports = 42;', 'a value of type number'],
    [
      'twoHalves.mjs',
      'export function generate() {}\nexport default { handle() {} };',
      'default (object), generate (function)',
    ],
  ])('%s', async (name, source, found) => {
    const file = write(name, source);
    await expect(load(file)).rejects.toMatchObject({
      name: 'AppError',
      exitCode: 2,
      message: `TASK ${file} exports ${found}, expected two functions, generate and handle, or handle alone`,
    });
  });
});

describe('a task that cannot be loaded is refused with exit code 2, in one line that names the file and the reason', () => {
  it.each([
    ['syntax.mjs', 'export function {', /Unexpected token/],
    ['syntax.cjs', 'const = 1;', /Unexpected token/],
    ['throws.mjs', 'throw new Error("no feed\\nin two lines");', /no feed$/],
    ['throwsText.mjs', 'throw "just text";', /just text$/],
    ['throws.cjs', 'throw new TypeError("no feed");', /no feed$/],
    ['import.mjs', 'import "./isNotThere.mjs";', /isNotThere\.mjs/],
    ['package.mjs', 'import "not-installed-here";', /not-installed-here/],
    ['require.cjs', 'require("not-installed-here");', /not-installed-here/],
    ['task.txt', BODY, /Unknown file extension/],
    ['task.json', '{}', /json/i],
  ])('%s', async (name, source, reason) => {
    const file = write(name, source);
    const { exitCode, message } = await refusalOf(file);
    expect(exitCode).toBe(2);
    expect(message.startsWith(`TASK ${file} cannot be loaded: `)).toBe(true);
    expect(message).not.toContain('\n');
    expect(message).toMatch(reason);
  });

  it('a file that is not there', async () => {
    const file = join(directory, 'missing.mjs');
    const { exitCode, message } = await refusalOf(file);
    expect({ exitCode, message }).toEqual({
      exitCode: 2,
      message: expect.stringMatching(/^TASK .*missing\.mjs cannot be loaded: Cannot find module/) as string,
    });
  });

  it('a directory', async () => {
    const { exitCode, message } = await refusalOf(directory);
    expect(exitCode).toBe(2);
    expect(message).toContain(`TASK ${directory} cannot be loaded: Directory import`);
  });

  async function refusalOf(path: string): Promise<AppError> {
    return load(path).then(
      () => Promise.reject(new Error(`${path} was loaded`)),
      (error: AppError) => error,
    );
  }
});

describe('a task given as an object', () => {
  it('is accepted with both functions, or with handle only', () => {
    expect(() => checkTask({ generate() {}, handle() {} })).not.toThrow();
    expect(() => checkTask({ handle() {} })).not.toThrow();
    expect(() => checkTask({ generate: undefined, handle() {} })).not.toThrow();
  });

  it.each([
    [undefined, 'a value of type undefined'],
    [null, 'a value of type null'],
    ['path.mjs', 'a value of type string'],
    [() => undefined, 'a value of type function'],
    [{}, 'nothing'],
    [{ generate() {} }, 'generate (function)'],
    [{ generate: 1, handle() {} }, 'generate (number), handle (function)'],
  ])('is refused with exit code 2: %p', (value, found) => {
    let refusal: unknown;
    try {
      checkTask(value);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({
      exitCode: 2,
      message: `the task has ${found}, expected two functions, generate and handle, or handle alone`,
    });
  });
});
