// What it costs, measured: everything in turn, on a Redis of its own.
//
//   npm run bench -- [--quick] [--only handling,generating] [--rounds 5] [--json file]
//
// The table goes to stdout, what is being done to stderr. --quick: under two minutes, fewer messages and rounds.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { generating } from './generating.mjs';
import { handling } from './handling.mjs';
import { describeMachine, machineText } from './machine.mjs';
import { installPeers } from './peers.mjs';
import { openProgress } from './progress.mjs';
import { tableText, targetsText } from './report.mjs';
import { openServer } from './server.mjs';
import { judge } from './targets.mjs';

const SECTIONS = { handling, generating };

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: Object.keys(SECTIONS).join(',') },
    rounds: { type: 'string' },
    scale: { type: 'string' },
    json: { type: 'string' },
  },
});
const { quick } = values;
const only = values.only.split(',');
const unknown = only.filter((name) => !(name in SECTIONS));
if (unknown.length > 0) {
  console.error(`--only names ${unknown.join(', ')}, expected some of ${Object.keys(SECTIONS).join(', ')}`);
  process.exit(2);
}
const rounds = Number(values.rounds ?? (quick ? 1 : 5));
const scale = Number(values.scale ?? (quick ? 0.15 : 1));

installPeers();
const progress = openProgress();
const tables = [];
for (const name of only) {
  const server = await openServer();
  tables.push(...(await SECTIONS[name]({ server, rounds, scale, quick, progress: progress.say })));
  await server.close();
}
progress.end();

const machine = describeMachine();
const targets = judge(tables);
const text = [machineText(machine), ...tables.map(tableText), targetsText(targets)].join('\n\n');
console.log(text);
if (values.json !== undefined) {
  const result = { machine, options: { quick, only, rounds, scale }, tables, targets };
  writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
}
process.exit(0);
