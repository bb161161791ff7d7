// Runs one contender in a separate process:  child.mjs <file> <role> <settings as JSON>
import { meter } from '../measuring/meter.mjs';

const [file, role, json] = process.argv.slice(2);
const settings = JSON.parse(json);
const contender = await import(file);
await contender[role](settings, meter(settings));
