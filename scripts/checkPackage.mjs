// Checks the package as it would be published: its manifest (publint), and that its types resolve for every kind of
// import (attw). Requires dist/, which npm run build creates, but no network.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PACKAGES = { publint: 'publint', attw: '@arethetypeswrong/cli' };

if (!existsSync('dist/index.js')) {
  console.error('found no dist/index.js, expected the built package: run "npm run build"');
  process.exit(1);
}
const directory = mkdtempSync(join(tmpdir(), 'nic-package-'));
try {
  // Without its scripts, which would rebuild dist/.
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', directory];
  const [{ filename }] = JSON.parse(
    execFileSync('npm', pack, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  const tarball = join(directory, filename);
  run('publint', ['run', '--strict', tarball]);
  run('attw', [tarball, '--no-emoji', '--format', 'ascii', '--profile', 'node16']);
} finally {
  rmSync(directory, { recursive: true });
}

function run(name, args) {
  const { bin } = JSON.parse(readFileSync(join('node_modules', PACKAGES[name], 'package.json'), 'utf8'));
  const file = join('node_modules', PACKAGES[name], typeof bin === 'string' ? bin : bin[name]);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], { encoding: 'utf8' });
  if (status === 0) return;
  process.stderr.write(`${stdout}${stderr}\n${name} found the above in the package\n`);
  process.exitCode = 1;
}
