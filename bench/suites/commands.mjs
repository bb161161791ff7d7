// How long commands take, and how much memory they use.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { seedErrors } from '../../testkit/seedErrors.cjs';
import { figure, interleave, table } from '../reporting/figures.mjs';

const program = resolve('dist/main.js');
const HELP = { name: 'help', label: '`--help`', args: [program, '--help'] };
const STATUS = { name: 'status', label: '`status`', args: [program, 'status'] };
const GET_ERRORS = { name: 'getErrors', label: '`getErrors`', args: [program, 'getErrors'] };
/** What every command takes at least. */
const NODE = { name: 'node', label: 'Node.js with an empty program', args: ['--eval', ''] };

/** The start of each error that getErrors prints. */
const HEAD = '\nmessage ';

export async function commands({ server, rounds, quick, scale, progress }) {
  const times = 2 * rounds + (quick ? 1 : 0);
  const run = ({ args }) => runCommand(args, server);
  const say = (errors) => (text) => progress.say(`commands on ${errors} errors: ${text}`);
  const none = await interleave(times, [HELP, STATUS, GET_ERRORS, NODE], run, say('no'));

  const errors = Math.round(1_000_000 * scale);
  progress.say(`commands: writing ${errors} errors`);
  await seedErrors(server.client, errors);
  const many = await interleave(rounds, [STATUS, GET_ERRORS], run, say(errors));
  const lines = many('getErrors', 'errors');
  if (lines.some((n) => n !== errors))
    throw new Error(`getErrors printed ${lines} errors, expected ${errors}`);

  const peak = (of, name) => ({ 'peak MB': of(name, 'peakMb') });
  const onNone = [HELP, STATUS, GET_ERRORS, NODE].map(({ name, label }) =>
    figure(`commands.${name}`, label, 'ms', none(name, 'ms'), { also: peak(none, name) }),
  );
  const overNone = many('getErrors', 'peakMb').map((mb) => mb - Math.min(...none('getErrors', 'peakMb')));
  const onMany = [
    figure('commands.many.status', STATUS.label, 'ms', many('status', 'ms'), { also: peak(many, 'status') }),
    figure('commands.many.first', '`getErrors`: first line', 'ms', many('getErrors', 'firstMs')),
    figure('commands.many.total', '`getErrors`: all', 'ms', many('getErrors', 'ms'), {
      also: peak(many, 'getErrors'),
    }),
    figure('commands.many.peak', '`getErrors`: peak memory over that on none', 'MB', overNone),
  ];
  return [
    table('Commands, no errors', 'From the start of node to its end, output into a pipe.', onNone),
    table(`Commands, ${errors} errors`, 'The same; every error is printed and counted.', onMany),
  ];
}

/** Runs Node.js and reads its output. */
async function runCommand(args, server) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, args, {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      REDISURL: server.url,
      NODE_OPTIONS: `--require ${resolve('testkit/peakMemory.cjs')}`,
    },
  });
  let [stderr, firstMs, errors, rest] = ['', undefined, 0, '\n'];
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdout.setEncoding('latin1').on('data', (chunk) => {
    firstMs ??= performance.now() - startedAt;
    const text = rest + chunk;
    for (let at = text.indexOf(HEAD); at !== -1; at = text.indexOf(HEAD, at + 1)) errors++;
    // It can span two chunks.
    rest = text.slice(1 - HEAD.length);
  });
  await once(child, 'close');
  const ms = performance.now() - startedAt;
  if (child.exitCode !== 0) throw new Error(`${args.join(' ')} ended with ${child.exitCode}: ${stderr}`);
  return { ms, firstMs, errors, peakMb: Number(/peak=(\d+)/.exec(stderr)[1]) };
}
