// Checks the models in this directory with Spin, and that each guard is necessary. See docs/proof.md.
//
//   npm run model               every configuration, about ten minutes on two cores
//   npm run model -- --quick    the small ones and the guards, under a minute
//   npm run model -- --only lease   configurations and guards whose row contains this
//   npm run model -- --schedules  also writes the counterexamples into model/schedules
//   npm run model -- --orders   every order of packets against a real Redis (model/orders.mjs) instead
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CONFIGURATIONS, GUARDS } from './guards.mjs';

const here = dirname(fileURLToPath(import.meta.url));
/** Timeout of a search in milliseconds; a longer one counts as not completed. */
const SEARCH_LIMIT_MS = 240_000;
const args = process.argv.slice(2);
const onlyAt = args.indexOf('--only');
const only = onlyAt === -1 ? '' : args.splice(onlyAt, 2)[1];
const options = new Set(args);
const known = ['--quick', '--schedules', '--orders'];
for (const option of options) {
  if (known.includes(option) || options.has('--orders')) continue;
  console.error(`unknown option ${option}; expected one of ${[...known, '--only'].join(', ')}`);
  process.exit(2);
}
if (options.has('--orders')) {
  const { status } = spawnSync(
    process.execPath,
    [join(here, 'orders.mjs'), ...process.argv.slice(2).filter((each) => each !== '--orders')],
    { stdio: 'inherit' },
  );
  process.exit(status ?? 1);
}
const missing = ['spin', 'gcc'].filter(
  (program) => spawnSync(program, [program === 'spin' ? '-V' : '--version']).error,
);
if (missing.length > 0) {
  console.error(
    `${missing.join(' and ')} not found on PATH; install with "apt-get install spin gcc" (Debian, Ubuntu) or "brew install spin gcc"`,
  );
  process.exit(1);
}

const work = mkdtempSync(join(tmpdir(), 'nic-model-'));
process.once('exit', () => rmSync(work, { recursive: true, force: true }));
let failures = 0;
try {
  const configurations = CONFIGURATIONS.filter(({ quick }) => quick || !options.has('--quick'));
  const isWanted = ({ name, guard }) => (name ?? guard).includes(only ?? '');
  await print('configuration', configurations.filter(isWanted), checkConfiguration);
  console.log();
  await print('guard taken out', GUARDS.filter(isWanted), checkGuard);
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(
  failures === 0 ? '\neverything holds, and every guard is needed' : `\n${failures} not as expected`,
);
process.exit(failures === 0 ? 0 : 1);

/** Two at a time, for two cores; printed in order. */
async function print(title, cases, check) {
  console.log(`| ${title} | states | time | memory | verdict |\n|---|--:|--:|--:|---|`);
  const rows = [];
  let next = 0;
  const lane = async () => {
    while (next < cases.length) {
      const index = next++;
      rows[index] = await check(cases[index], join(work, `${title.split(' ')[0]}${index}`)).catch((error) => {
        failures++;
        return `| ${cases[index].name ?? cases[index].guard} | | | | ${error.message.replaceAll('\n', ' ')} |`;
      });
      while (rows[printed] !== undefined) console.log(rows[printed++]);
    }
  };
  let printed = 0;
  await Promise.all([lane(), lane()]);
}

async function checkConfiguration({ name, model, defines, bits, live }, directory) {
  const kind = live
    ? ['-DNFAIR=4']
    : bits
      ? ['-DSAFETY', '-DBITSTATE', '-DNOREDUCE']
      : ['-DSAFETY', '-DNOREDUCE'];
  const search = live
    ? ['-a', '-f', '-m1000000']
    : bits
      ? ['-E', `-w${bits}`, '-m1000000', '-Q1']
      : ['-E', '-m1000000'];
  const found = await search_(model, defines, directory, kind, search);
  const complete = found.errors === 0 && !found.incomplete;
  if (!complete) failures++;
  const how = live
    ? 'holds under weak fairness'
    : bits
      ? `holds as far as searched in a minute (bitstate, hash factor ${found.hashFactor})`
      : 'holds, exhaustive';
  return row(
    name,
    found,
    complete ? how : found.errors > 0 ? `VIOLATED: ${found.violated}` : 'NOT COMPLETED',
  );
}

async function checkGuard({ guard, says, model, defines, replay }, directory) {
  const found = await search_(
    model,
    `${defines} ${guard}`,
    directory,
    ['-DSAFETY', '-DNOREDUCE', '-DBFS'],
    ['-E'],
  );
  if (found.errors === 0) {
    failures++;
    return row(`${guard}: ${says}`, found, 'NOT NEEDED: no counterexample');
  }
  const steps = await trail(model, `${defines} ${guard}`, directory);
  if (options.has('--schedules') && replay) {
    const sources = /SOURCES=(\d)/.exec(defines)?.[1];
    const schedule = {
      ...{ guard, model, says },
      ...(sources && { sources: Number(sources) }),
      ...{ violated: found.violated, steps },
    };
    writeFileSync(join(here, 'schedules', `${guard}.json`), `${JSON.stringify(schedule, null, 2)}\n`);
  }
  return row(`${guard}: ${says}`, found, `needed: counterexample of ${steps.length} steps`);
}

async function search_(model, defines, directory, kind, search) {
  const spin = await run('mkdir', ['-p', directory]).then(() =>
    run('spin', [...flags(defines), '-a', join(here, `${model}.pml`)], directory),
  );
  if (/error/i.test(spin)) throw new Error(spin);
  await run(
    'gcc',
    [bfs(kind) ? '-O0' : '-O2', '-DMEMLIM=10000', '-w', ...kind, '-o', 'pan', 'pan.c'],
    directory,
  );
  const output = await run('./pan', search, directory, SEARCH_LIMIT_MS);
  return {
    states: Number(/(\d+(?:\.\d+)?(?:e\+\d+)?) states, stored/.exec(output)?.[1]),
    seconds: Number(/elapsed time ([\d.e+]+)/.exec(output)?.[1] ?? 0),
    megabytes: Number(/([\d.]+)\s+total actual memory/.exec(output)?.[1]),
    errors: Number(/errors: (\d+)/.exec(output)?.[1] ?? 1),
    violated:
      /assertion violated (.*) \(at depth/.exec(output)?.[1]?.trim() ??
      /pan:1: (.*)/.exec(output)?.[1] ??
      output.slice(-300),
    incomplete:
      /max search depth too small|out of memory|MEMLIM bound/.test(output) || !/errors: \d/.test(output),
    hashFactor: /hash factor: ([\d.]+)/.exec(output)?.[1],
  };
}

/** The steps of a counterexample, as the models print them: `@ step arguments`. */
async function trail(model, defines, directory) {
  await run('cp', [join(here, `${model}.pml`), directory]);
  const output = await run('spin', ['-t', '-T', ...flags(defines), `${model}.pml`], directory);
  return [...output.matchAll(/@ (.*)/g)].map(([, step]) => step.trim());
}

function bfs(kind) {
  return kind.includes('-DBFS');
}

function flags(defines) {
  return defines
    .split(' ')
    .filter(Boolean)
    .map((define) => `-D${define}`);
}

function row(name, { states, seconds, megabytes }, verdict) {
  return `| ${name} | ${states.toLocaleString('en')} | ${seconds.toFixed(1)} s | ${Math.round(megabytes)} MB | ${verdict} |`;
}

function run(command, args, cwd, timeout) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, timeout, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.stderr.on('data', (chunk) => chunks.push(chunk));
    child.once('error', reject);
    child.once('close', () => resolve(Buffer.concat(chunks).toString()));
  });
}
