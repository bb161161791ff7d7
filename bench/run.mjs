// Runs the benchmarks one after another, on their own Redis servers.
//
//   npm run bench -- [--quick] [--only handling,generating] [--contenders leader,bullmq]
//                    [--rounds 5] [--messages 1000000] [--json file] [--markdown docs/performance.md]
//
// Tables go to stdout, progress to stderr. --quick takes about a minute, with one round, and fewer
// messages and contenders. --messages sets the size of the million. --markdown writes the tables between the two markers in that file.
import { writeFileSync } from 'node:fs';
import { options } from './arguments.mjs';
import { describeMachine } from './reporting/machine.mjs';
import { killOnExit } from '../testkit/children.cjs';
import { openProgress } from './reporting/progress.mjs';
import { fillIn, reportText } from './reporting/report.mjs';
import { SECTIONS } from './suites/suites.mjs';
import { openServer } from './measuring/server.mjs';
import { judge } from './reporting/targets.mjs';

const { only, json, markdown, ...context } = options(process.argv.slice(2), Object.keys(SECTIONS));

killOnExit();
const progress = openProgress();
const startedAt = performance.now();
const tables = [];
for (const name of only) {
  const server = await openServer();
  tables.push(...(await SECTIONS[name]({ ...context, server, progress })));
  await server.close();
  // Write the report even if the run does not finish.
  write(report());
}
progress.end();
console.log(reportText(report()));
process.exit(0);

function report() {
  return {
    machine: describeMachine(),
    options: { only, ...context },
    seconds: Math.round((performance.now() - startedAt) / 1000),
    targets: judge(tables),
    tables,
  };
}

function write(found) {
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(found, null, 2)}\n`);
  if (markdown !== undefined) fillIn(markdown, reportText(found));
}
