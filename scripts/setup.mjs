// Sets up a fresh machine: redis-server, the npm packages and dist/. Safe to run again.
// It runs before anything is installed, perhaps on an old Node.js, so it has no dependencies and imports nothing by name
// that an old Node.js lacks (which would be a SyntaxError before the version check).
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';

const MIN_NODE = [20, 12];
/** Older versions no longer receive security fixes. */
const RECOMMENDED_MAJOR = 22;
const root = fileURLToPath(new URL('..', import.meta.url));

// The commands of each package manager to try until redis-server is on PATH. Since Redis changed its license,
// some distributions ship Valkey instead, and the name `redis-server` only in a package of compatibility links.
const PACKAGE_MANAGERS = {
  'apt-get': {
    commands: [
      // A fresh machine has no package index. A broken source fails the update, which might not matter.
      ['apt-get', 'update'],
      // A cloud machine that has just booted updates itself and holds the lock of dpkg meanwhile.
      [
        'apt-get',
        'install',
        '-y',
        '--no-install-recommends',
        '-o',
        'DPkg::Lock::Timeout=120',
        'redis-server',
      ],
    ],
  },
  apk: {
    commands: [
      ['apk', 'add', '--no-cache', 'redis'],
      ['apk', 'add', '--no-cache', 'valkey', 'valkey-compat'],
    ],
  },
  dnf: {
    commands: [
      ['dnf', 'install', '-y', 'redis'],
      ['dnf', 'install', '-y', 'valkey-compat-redis'],
    ],
  },
  yum: {
    commands: [
      ['yum', 'install', '-y', 'redis'],
      ['yum', 'install', '-y', 'valkey-compat-redis'],
    ],
  },
  // Homebrew refuses to run as root.
  brew: { commands: [['brew', 'install', 'redis']], asUser: true },
  pacman: {
    commands: [
      ['pacman', '-S', '--noconfirm', '--needed', 'valkey'],
      // -S alone fails without a package database, as in a fresh container.
      ['pacman', '-Sy', '--noconfirm', '--needed', 'valkey'],
    ],
  },
};

checkNode();
makeRedisAvailable();
installPackages();
say('Build', 'npm run build');
npm(['run', 'build']);
say('Done', 'npm start runs one instance (run it again for more); npm test runs the tests');

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) {
    const advice = major < RECOMMENDED_MAJOR ? `; ${RECOMMENDED_MAJOR} or newer is recommended` : '';
    return say('Node.js', process.versions.node + advice);
  }
  fail(
    'Node.js',
    `this is ${process.versions.node}, expected ${MIN_NODE.join('.')} or newer: see https://nodejs.org`,
  );
}

function makeRedisAvailable() {
  const found = findOnPath('redis-server');
  if (found) return say('Redis', `${found} is there already`);
  const name = configuredUrl();
  if (name)
    return say('Redis', `${name} is set, so none is installed here (npm test wants a redis-server on PATH)`);

  const managerName = Object.keys(PACKAGE_MANAGERS).find(findOnPath);
  if (!managerName) {
    return fail(
      'Redis',
      `no redis-server on PATH, and none of ${Object.keys(PACKAGE_MANAGERS).join(', ')}: ${remedy()}`,
    );
  }
  const manager = PACKAGE_MANAGERS[managerName];
  const needsSudo = !manager.asUser && process.getuid?.() !== 0;
  if (needsSudo && !findOnPath('sudo')) {
    const byHand = manager.commands.map((command) => command.join(' ')).join('; ');
    return fail(
      'Redis',
      `installing it needs root, and there is no sudo. As root: ${byHand}. Or: ${remedy()}`,
    );
  }

  // sudo drops the environment, hence `env` after it. Nobody can answer the prompts of debconf.
  const prefix = [...(needsSudo ? ['sudo'] : []), 'env', 'DEBIAN_FRONTEND=noninteractive'];
  let output = '';
  for (const command of manager.commands) {
    say('Redis', `${needsSudo ? 'sudo ' : ''}${command.join(' ')} (this may take a minute)`);
    output += runQuietly([...prefix, ...command]).output;
    const installed = findOnPath('redis-server');
    if (installed) return say('Redis', `installed ${installed}`);
  }
  const lastLines = output.trim().split('\n').slice(-15).join('\n');
  const valkey = findOnPath('valkey-server');
  const hint = valkey ? `a link named redis-server to ${valkey} on PATH is enough, or ` : '';
  fail('Redis', `${managerName} left no redis-server on PATH: ${hint}${remedy()}. It said:\n${lastLines}`);
}

function remedy() {
  return 'install Redis 6.2 or newer (https://redis.io/docs/install) so that redis-server is on PATH, or set REDISURL to one elsewhere';
}

/** Returns the variable that sets the Redis address; as in the application, the real environment takes precedence. */
function configuredUrl() {
  const file = existsSync('.env') ? util.parseEnv(readFileSync('.env', 'utf8')) : {};
  const env = { ...file, ...process.env };
  return ['REDISURL', 'REDIS_URL'].find((name) => env[name]);
}

function installPackages() {
  const difference = findDifference();
  if (!difference) return say('Packages', 'node_modules is in step with package-lock.json');
  say('Packages', `npm ci, because ${difference}`);
  // TypeScript is a dev dependency, so the build needs those even with NODE_ENV=production. No package here needs
  // its install script (the native ones ship their binaries), and what does not run can do no harm.
  npm(['ci', '--include=dev', '--ignore-scripts']);
}

/**
 * Returns how node_modules differs from package-lock.json; undefined if it does not. Uses the list that npm keeps
 * of installed packages: our own hash would miss an `npm prune` or an `npm install` of something else.
 * An interrupted `npm ci` leaves no such list.
 */
function findDifference() {
  const wanted = readPackages('package-lock.json');
  const installed = readPackages('node_modules/.package-lock.json');
  if (!wanted || !installed) return 'nothing is installed yet';
  for (const [place, entry] of Object.entries(wanted)) {
    const has = installed[place];
    if (!has && !fitsThisMachine(entry)) continue;
    if (!has || !existsSync(path.join(root, place))) return `${place} is missing`;
    if (has.version !== entry.version || has.integrity !== entry.integrity)
      return `${place} is another version`;
    if (!fitsThisMachine(has)) return `${place} is for another kind of machine`;
  }
  const surplus = Object.keys(installed).find((place) => !wanted[place]);
  return surplus && `${surplus} is not in package-lock.json`;
}

/** Returns packages by path ("node_modules/x"), without the root package. */
function readPackages(file) {
  try {
    const { packages } = JSON.parse(readFileSync(path.join(root, file), 'utf8'));
    return Object.fromEntries(Object.entries(packages).filter(([place]) => place !== ''));
  } catch {
    return undefined;
  }
}

/** npm's rule for packages with binaries inside: https://docs.npmjs.com/cli/configuring-npm/package-json#os */
function fitsThisMachine({ os, cpu, libc }) {
  const allows = (list, mine) =>
    !list || (list.some((one) => !one.startsWith('!')) ? list.includes(mine) : !list.includes(`!${mine}`));
  if (!allows(os, process.platform) || !allows(cpu, process.arch)) return false;
  return !libc || allows(libc, process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl');
}

function npm(args) {
  // On Windows npm is npm.cmd, which only a shell can start.
  const { error, status } = spawnSync('npm', args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (error) fail('npm', `cannot be started (${error.message}): it comes with Node.js and must be on PATH`);
  if (status !== 0) fail('npm', `npm ${args.join(' ')} failed, see above`);
}

/** Standard input is kept for the sudo password. The output (hundreds of lines) is shown only after a failure. */
function runQuietly([command, ...args]) {
  const options = { encoding: 'utf8', stdio: ['inherit', 'pipe', 'pipe'], maxBuffer: 2 ** 26 };
  const { error, status, stdout, stderr } = spawnSync(command, args, options);
  return { ok: status === 0, output: `${stdout ?? ''}${stderr ?? ''}${error ? `${error.message}\n` : ''}` };
}

function findOnPath(name) {
  for (const directory of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const suffix of process.platform === 'win32' ? ['.exe', '.cmd', ''] : ['']) {
      const file = path.join(directory, name + suffix);
      try {
        accessSync(file, constants.X_OK);
        if (statSync(file).isFile()) return file;
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

function say(what, text) {
  console.log(`${what}: ${text}`);
}

function fail(what, text) {
  console.error(`${what}: ${text}`);
  process.exit(1);
}
