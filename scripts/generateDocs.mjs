// Writes the tables of the documents that are generated from the code, between
// `<!-- generated: name arguments -->` and `<!-- end -->`.
//
//   npm run docs               builds, and writes the tables
//   npm run docs -- --check    lists the tables that are not current, and fails if there are any
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import ts from 'typescript';

const require = createRequire(import.meta.url);
const check = process.argv.includes('--check');

/** By name: returns the rows, headings first. Arguments are the words after the name. */
const TABLES = { settings, commands, keys, metrics, durations };

/** Variables of the sections of .env.example whose titles start with `section`, or the named ones. */
async function settings(...args) {
  const wanted = args.join(' ');
  const isList = /^[A-Z]/.test(wanted) && wanted === wanted.toUpperCase();
  const shown = readSettings().filter(({ section, name }) =>
    isList ? args.includes(name) : section === wanted,
  );
  if (shown.length === 0) throw new Error(`.env.example has no settings for "${wanted}"`);
  if (isList) {
    const meaning = (text) => text.replace(/^.*?\bexamples\/\S+: /, '').match(/^.*?[^.]\.(?= |$)/)[0];
    return [
      ['variable', 'default', 'meaning'],
      ...shown.map(({ name, fallback, text }) => [`\`${name}\``, asCode(fallback), asCode(meaning(text))]),
    ];
  }
  return [
    ['variable', 'default', 'value', 'meaning'],
    ...shown.map(({ name, fallback, text }) => [
      `\`${name}\``,
      asCode(fallback),
      expectedOf(name),
      asCode(text),
    ]),
  ];
}

/** Formats names of variables and addresses as code. */
const asCode = (text) =>
  text.replace(
    /(?<![\w`])(?:[A-Z]+_[A-Z0-9_]+|REDISURL|TASK|SCHEDULE)\b|[a-z+]+:\/\/[^\s)]*(?:\.\.\.|[^\s.,;)])/g,
    '`$&`',
  );

function readSettings() {
  let section = '';
  let words = [];
  const found = [];
  for (const line of readFileSync('.env.example', 'utf8').split('\n')) {
    const setting = /^# ([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
    const title = /^# --- (.*) ---$/.exec(line)?.[1];
    if (setting) {
      const [, text, unset] = /^(.*?)(?: Default: (.*)\.)?$/.exec(words.join(' '));
      const [, name, value] = setting;
      found.push({ section, name, text, fallback: value === '' ? (unset ?? 'none') : `\`${value}\`` });
    }
    if (title !== undefined) section = title;
    words = setting || title !== undefined || !line.startsWith('# ') ? [] : [...words, line.slice(2)];
  }
  return found;
}

/** Returns what the program expects of a variable, in the words of its error for an invalid value. */
function expectedOf(name) {
  const { resolveConfig } = require('../dist/configuration/config.js');
  try {
    resolveConfig({ [name]: '\u0001', BOARD_PASSWORD: 'set' });
    return 'any text';
  } catch ({ message }) {
    const expected = new RegExp(`${name} is .*?, expected (.*?)(; [A-Z_]+ is |$)`).exec(message)[1];
    return /:\/\//.test(expected) ? 'an address' : expected.replace(/^(.*) of milliseconds/, '$1');
  }
}

/** Returns the help of the program, command by command. */
async function commands() {
  const { runCommandLine } = require('../dist/cli.js');
  const help = async (...args) => {
    let text = '';
    const write = (piece) => Promise.resolve((text += piece) !== '');
    const terminal = { env: {}, version: '0', write, tell: () => undefined, stdout: {} };
    await runCommandLine([...args, '--help'], terminal);
    return text;
  };
  const rows = [['command', 'what it does']];
  for (const [usage, does] of entriesOf(await help(), 'Commands')) {
    const name = usage.split(/[ |]/, 1)[0];
    if (name === 'help') continue;
    const own = await help(name);
    rows.push(rowOf(usage, does, own));
    for (const [further, text] of entriesOf(own, 'Commands')) {
      const sub = further.split(/[ |]/, 1)[0];
      if (sub !== 'help') rows.push(rowOf(`${name} ${further}`, text, await help(name, sub)));
    }
  }
  return rows;

  function rowOf(usage, does, text) {
    const options = entriesOf(text, 'Options').filter(([option]) => !option.startsWith('-h,'));
    const list = options.map(([option, meaning]) => `\`${option}\`: ${meaning}`).join('; ');
    const given = usage.replace(/\|\w+| ?\[(options|command)\]/g, '');
    const shown = given === 'start' ? 'npm start' : `npm start -- ${given}`;
    return [`\`${shown}\``, list === '' ? does : `${does}. ${list}`];
  }
}

/** Returns the entries of a section of a help text: left and right column. */
function entriesOf(help, section) {
  const lines = help.split(`${section}:\n`)[1]?.split('\n\n', 1)[0].split('\n') ?? [];
  const entries = [];
  for (const line of lines) {
    const [, left, right = ''] = /^ {2}(\S.*?)(?: {2,}(.*))?$/.exec(line) ?? [];
    if (left !== undefined) entries.push([left, right]);
    else if (line.trim() !== '') entries.at(-1)[1] += ` ${line.trim()}`;
  }
  return entries.map(([left, right]) => [left, right.trim()]);
}

/** Returns keys and channels with their docstrings, except those of BullMQ. */
async function keys() {
  const { keysOf } = require('../dist/keys.js');
  const source = ts.createSourceFile(
    'keys.ts',
    readFileSync('src/keys.ts', 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const interfaces = new Map(
    source.statements.filter(ts.isInterfaceDeclaration).map((each) => [each.name.text, each]),
  );
  const all = keysOf('NAMESPACE');
  const rows = new Map();
  const list = (name, values) => {
    for (const member of interfaces.get(name).members) {
      const value = values[member.name.text];
      const key =
        typeof value === 'function' && value.length === 1 && member.name.text === 'presence'
          ? value('<instance>')
          : value;
      const text = ts
        .getJSDocCommentsAndTags(member)
        .map(({ comment }) => comment)
        .join(' ')
        .replace(/\s+/g, ' ');
      if (typeof key !== 'string' || text === '' || /:messages:|\}$/.test(key) || rows.has(key)) continue;
      rows.set(key, [`\`${key}\``, text]);
    }
  };
  list('Keys', all);
  list('RoleKeys', all.keeper);
  for (const name of [undefined, '<name>']) {
    list('RoleKeys', all.source(name));
    list('SourceKeys', all.source(name));
  }
  return [['key or channel', 'what it holds'], ...rows.values()];
}

/** Returns a real scrape of the metrics of an instance, with a named source in each state. */
async function metrics() {
  const { Metrics } = require('../dist/web/metrics.js');
  const { SOURCE_STATES } = require('../dist/group/read.js');
  const stats = {
    ...{ leads: true, keeper: false, sourcesLed: 1, overdue: false, active: 0, slow: 0, oldestActiveMs: 0 },
    activities: activityNames().map((name) => ({ name, stalled: false })),
  };
  const gauges = {
    ...{ waiting: 0, active: 0, delayed: 0, errors: 0, paused: { generating: false, handling: false } },
    sources: SOURCE_STATES.map((state) => ({ source: '<name>', generated: 1, term: 1, state })),
  };
  const scrape = await new Metrics('group').text(
    () => stats,
    () => Promise.resolve(gauges),
  );
  const rows = [['metric', 'type', 'labels', 'meaning']];
  for (const [, name, help, type] of scrape.matchAll(/^# HELP (nic_\w+) (.*)\n# TYPE \w+ (\w+)$/gm)) {
    const labels = new Map();
    for (const [, inside] of scrape.matchAll(new RegExp(`^${name}\\{(.*)\\} `, 'gm')))
      for (const [, label, value] of inside.matchAll(/(\w+)="([^"]*)"/g))
        if (label !== 'group' && label !== 'le')
          labels.set(label, new Set([...(labels.get(label) ?? []), `\`${value}\``]));
    const shown = [...labels].map(([label, values]) => `\`${label}\`: ${[...values].join(', ')}`);
    rows.push([`\`${name}\``, type, shown.join('; '), help]);
  }
  return rows;
}

/** The options as passed to the supervisor. */
function activityNames() {
  const sources = ['src/instance/instance.ts', 'src/duties/keeper.ts'].map((file) =>
    readFileSync(file, 'utf8'),
  );
  return [...sources.join('\n').matchAll(/supervisor\.start\(\{\s*name: '([^']+)'/g)].map(([, name]) => name);
}

/** Returns every duration of leadership for the default of LEASE_TTL_MS. */
async function durations() {
  const { durationsOf } = require('../dist/leadership/timings.js');
  return [
    ['duration', 'at the default', 'reason'],
    ...durationsOf(5000).map(({ name, ms, reason }) => [name, `${ms} ms`, reason]),
  ];
}

const cell = (text) =>
  text
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replace(/`[^`]*`/g, (code) => code.replaceAll('&lt;', '<'));
const tableOf = ([head, ...rows]) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs')
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];
let stale = 0;
for (const file of documents) {
  const before = readFileSync(file, 'utf8');
  let after = before;
  for (const [whole, start, name, given] of before.matchAll(
    /(<!-- generated: (\w+) ?(.*?) -->\n)[^]*?<!-- end -->/g,
  )) {
    const rows = await TABLES[name](...given.split(' ').filter((word) => word !== ''));
    const current = `${start}\n${tableOf(rows)}\n\n<!-- end -->`;
    if (current === whole) continue;
    stale++;
    console.log(
      `${file}: the table "${name} ${given}" is ${check ? 'not current: run npm run docs' : 'written'}`,
    );
    after = after.replace(whole, () => current);
  }
  if (!check && after !== before) writeFileSync(file, after);
}
process.exit(check && stale > 0 ? 1 : 0);
