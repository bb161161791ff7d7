// Checks that the logs of a group are a trace of the protocol: see traceRules.cjs.
//
//   node model/checkTrace.mjs instance1.log instance2.log ...   JSON lines (LOG_FORMAT=json, LOG_LEVEL=debug)
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { checkTrace, parseLog } from './traceRules.cjs';

export { checkTrace, parseLog };

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const lines = process.argv.slice(2).flatMap((file) => parseLog(readFileSync(file, 'utf8')));
  const wrong = checkTrace(lines);
  for (const each of wrong) console.log(each);
  console.log(`${lines.length} lines, ${wrong.length} that the model cannot make`);
  process.exit(wrong.length === 0 ? 0 : 1);
}
