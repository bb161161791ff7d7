// Injects the same faults into other libraries and into this program, on separate servers and processes, each
// with the versions that package.json pins. Takes three minutes.
//
//   npm run compare                    prints what was lost and duplicated
//   npm run compare -- --write         also writes compare/results.json, and the table into README.md
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import * as crashedProducer from './crashedProducer.mjs';
import * as failedOverSchedule from './failedOverSchedule.mjs';
import * as killedHandler from './killedHandler.mjs';
import * as pausedProducer from './pausedProducer.mjs';
import { tableOf, withTable } from './table.mjs';

const SCENARIOS = [pausedProducer, crashedProducer, killedHandler, failedOverSchedule];
const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
const versionOf = (name) =>
  JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version.replace(/^v/, '');

const scenarios = [];
for (const { title, elsewhere, here } of SCENARIOS) {
  console.error(title);
  const versions = elsewhere.with.map((name) => `${name} ${versionOf(name)}`);
  const found = { with: versions, what: elsewhere.what, ...(await elsewhere.run()) };
  console.error('  elsewhere:', JSON.stringify(found));
  const own = await here.run();
  console.error('  here:     ', JSON.stringify(own));
  scenarios.push({ title, elsewhere: found, here: own });
}
console.log(tableOf({ scenarios }));
if (values.write) {
  writeFileSync('compare/results.json', `${JSON.stringify({ scenarios }, null, 2)}\n`);
  writeFileSync('README.md', withTable(readFileSync('README.md', 'utf8'), tableOf({ scenarios })));
}
process.exit(0);
