import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

// Runs the real script in a temporary project with its own PATH. A test cannot run a real package manager, so
// programs that record their calls stand in for it and for npm.

const CI = 'npm ci --include=dev --ignore-scripts';
const BUILD = 'npm run build';
const APT_INSTALL = 'apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 redis-server';

let project: string;
let bin: string;
let log: string;

beforeEach(() => {
  project = mkdtempSync(path.join(tmpdir(), 'nic-setup-'));
  bin = path.join(project, 'bin');
  log = path.join(project, 'calls.log');
  mkdirSync(bin);
  mkdirSync(path.join(project, 'scripts'));
  copyFileSync('scripts/setup.mjs', path.join(project, 'scripts/setup.mjs'));
  writeFileSync(log, '');
  symlinkSync('/usr/bin/env', path.join(bin, 'env'));
  program('npm');
});

afterEach(() => rmSync(project, { recursive: true, force: true }));

describe('Node.js', () => {
  it.each(['16.20.2', '18.19.0', '20.11.1'])(
    '%s is too old: one line says so and nothing is run',
    (version) => {
      const { code, stderr } = setup({ version });
      expect(code).toBe(1);
      expect(stderr).toBe(`Node.js: this is ${version}, expected 20.12 or newer: see https://nodejs.org\n`);
      expect(calls()).toEqual([]);
    },
  );

  it.each(['20.12.0', '22.0.0', '100.1.0'])('%s is accepted', (version) => {
    program('redis-server');
    expect(setup({ version }).code).toBe(0);
  });

  it.each([
    ['20.20.2', 'Node.js: 20.20.2; 22 or newer is recommended'],
    ['22.0.0', 'Node.js: 22.0.0'],
  ])('%s is reported, with a recommendation if it is past its end of life', (version, line) => {
    program('redis-server');
    expect(setup({ version }).stdout.split('\n')[0]).toBe(line);
  });
});

describe('redis-server', () => {
  it('is not installed if it is on PATH', () => {
    program('redis-server');
    program('apt-get');
    const { code, stdout } = setup();
    expect(stdout).toContain(`Redis: ${path.join(bin, 'redis-server')} is there already`);
    expect(code).toBe(0);
    expect(calls()).toEqual([CI, BUILD]);
  });

  it.each(['REDISURL', 'REDIS_URL'])('is not installed if %s is set', (name) => {
    program('apt-get');
    const { code, stdout } = setup({ env: { [name]: 'redis://elsewhere:6379' } });
    expect(stdout).toContain(`Redis: ${name} is set`);
    expect(code).toBe(0);
    expect(calls()).toEqual([CI, BUILD]);
  });

  it('is not installed if .env sets an address', () => {
    program('apt-get');
    writeFileSync(
      path.join(project, '.env'),
      '# ours\nexport REDISURL="redis://user:secret@elsewhere:6379" # it\n',
    );
    const { stdout, stderr } = setup();
    expect(stdout).toContain('Redis: REDISURL is set');
    expect(stdout + stderr).not.toContain('secret');
    expect(calls()).toEqual([CI, BUILD]);
  });

  it('is installed if REDISURL is set to an empty string, whatever .env says', () => {
    installer('apt-get');
    writeFileSync(path.join(project, '.env'), 'REDISURL=redis://elsewhere:6379\n');
    expect(setup({ env: { REDISURL: '' } }).code).toBe(0);
    expect(calls()).toContain(APT_INSTALL);
  });

  it('is installed by root without sudo and without prompts', () => {
    installer('apt-get', 'echo "frontend $DEBIAN_FRONTEND" >> "$log"');
    const { code, stdout } = setup();
    expect(stdout).toContain(`Redis: installed ${path.join(bin, 'redis-server')}`);
    expect(code).toBe(0);
    const frontend = 'frontend noninteractive';
    expect(calls()).toEqual(['apt-get update', frontend, APT_INSTALL, frontend, CI, BUILD]);
  });

  it('is installed with sudo by other users', () => {
    installer('apt-get');
    program('sudo', 'exec "$@"');
    expect(setup({ uid: 1000 }).code).toBe(0);
    const sudo = 'sudo env DEBIAN_FRONTEND=noninteractive';
    expect(calls()).toEqual([
      `${sudo} apt-get update`,
      'apt-get update',
      `${sudo} ${APT_INSTALL}`,
      APT_INSTALL,
      CI,
      BUILD,
    ]);
  });

  it('is installed even if the package index cannot be updated', () => {
    installer('apt-get', '[ "$1" != update ] || exit 100');
    expect(setup().code).toBe(0);
    expect(calls()).toContain(APT_INSTALL);
  });

  it.each([
    ['apk', 'redis', ['apk add --no-cache redis']],
    ['apk', 'valkey-compat', ['apk add --no-cache redis', 'apk add --no-cache valkey valkey-compat']],
    ['dnf', 'redis', ['dnf install -y redis']],
    ['dnf', 'valkey-compat-redis', ['dnf install -y redis', 'dnf install -y valkey-compat-redis']],
    ['yum', 'redis', ['yum install -y redis']],
    ['yum', 'valkey-compat-redis', ['yum install -y redis', 'yum install -y valkey-compat-redis']],
    ['pacman', 'valkey', ['pacman -S --noconfirm --needed valkey']],
    ['brew', 'redis', ['brew install redis']],
  ])('is installed by %s from the package %s', (manager, packageThatHasIt, commands) => {
    installer(manager, `case " $* " in *" ${packageThatHasIt} "*) ;; *) exit 1 ;; esac`);
    expect(setup().code).toBe(0);
    expect(calls()).toEqual([...commands, CI, BUILD]);
  });

  it('is installed by brew without sudo', () => {
    installer('brew');
    program('sudo');
    expect(setup({ uid: 501 }).code).toBe(0);
    expect(calls()).toEqual(['brew install redis', CI, BUILD]);
  });

  it('cannot be installed without root or sudo: the script prints the commands for root and runs nothing', () => {
    program('apt-get');
    const { code, stderr } = setup({ uid: 1000 });
    expect(code).toBe(1);
    expect(stderr).toContain(`there is no sudo. As root: apt-get update; ${APT_INSTALL}. Or: install Redis`);
    expect(calls()).toEqual([]);
  });

  it('cannot be installed without a package manager: the script says what to install and runs nothing', () => {
    const { code, stderr } = setup();
    expect(code).toBe(1);
    expect(stderr).toContain('none of apt-get, apk, dnf, yum, brew, pacman');
    expect(stderr).toContain('so that redis-server is on PATH, or set REDISURL to one elsewhere');
    expect(calls()).toEqual([]);
  });

  it('cannot be installed if the package manager fails: the script shows the end of its output', () => {
    program('apt-get', 'seq 100; echo "E: Unable to locate package" >&2; exit 100');
    symlinkSync('/usr/bin/seq', path.join(bin, 'seq'));
    const { code, stderr } = setup();
    expect(code).toBe(1);
    expect(stderr).toContain('apt-get left no redis-server on PATH: install Redis');
    expect(stderr).toContain('E: Unable to locate package');
    expect(stderr).not.toContain('\n50\n');
    expect(calls()).toEqual(['apt-get update', APT_INSTALL]);
  });

  it('is requested as a link if Valkey does not provide that name', () => {
    program('dnf');
    program('valkey-server');
    const { code, stderr } = setup();
    expect(code).toBe(1);
    expect(stderr).toContain(
      `a link named redis-server to ${path.join(bin, 'valkey-server')} on PATH is enough`,
    );
  });
});

describe('packages', () => {
  const here = { os: [process.platform], cpu: [process.arch] };
  const elsewhere = { os: ['plan9'], optional: true };

  beforeEach(() => program('redis-server'));

  it('are installed from the lockfile with dev dependencies, also in production', () => {
    const { code, stdout } = setup({ env: { NODE_ENV: 'production' } });
    expect(code).toBe(0);
    expect(calls()).toEqual([CI, BUILD]);
    expect(stdout).toMatch(/\nDone: npm start .*npm test runs the tests\n$/);
  });

  it('are not changed by a second run', () => {
    const packages = { a: { version: '1.0.0' }, b: { version: '2.0.0', dev: true, ...here } };
    locked({ ...packages, c: { version: '1.0.0', ...elsewhere } });
    installed(packages);
    const { code, stdout } = setup();
    expect(code).toBe(0);
    expect(stdout).toContain('Packages: node_modules is in step with package-lock.json');
    expect(calls()).toEqual([BUILD]);
  });

  it.each<[string, Packages, Packages]>([
    ['one is another version', { a: { version: '1.0.0' } }, { a: { version: '1.0.1' } }],
    ['one has other contents', { a: { integrity: 'sha512-one' } }, { a: { integrity: 'sha512-other' } }],
    ['the dev dependencies were pruned', { a: {}, b: { dev: true } }, { a: {} }],
    ['an optional one for this machine is missing', { a: { optional: true, ...here } }, {}],
    ['they were copied from another kind of machine', { a: elsewhere }, { a: elsewhere }],
    ['one was installed beside them', { a: {} }, { a: {}, b: {} }],
  ])('are installed again if %s', (_, wanted, actual) => {
    locked(wanted);
    installed(actual);
    expect(setup().code).toBe(0);
    expect(calls()).toEqual([CI, BUILD]);
  });

  it('are installed again if a directory is missing', () => {
    locked({ a: {} });
    installed({ a: {} });
    rmSync(path.join(project, 'node_modules/a'), { recursive: true });
    const { stdout } = setup();
    expect(stdout).toContain('node_modules/a is missing');
    expect(calls()).toEqual([CI, BUILD]);
  });

  it('are installed again after an npm ci that was interrupted', () => {
    locked({ a: {} });
    installed({ a: {} });
    rmSync(path.join(project, 'node_modules/.package-lock.json'));
    setup();
    expect(calls()).toEqual([CI, BUILD]);
  });

  it('end the setup if npm fails', () => {
    program('npm', 'exit 7');
    const { code, stderr } = setup();
    expect(code).toBe(1);
    expect(stderr).toContain(`npm: ${CI} failed, see above`);
    expect(calls()).toEqual([CI]);
  });

  it('end the setup if npm is missing', () => {
    rmSync(path.join(bin, 'npm'));
    const { code, stderr } = setup();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^npm: cannot be started \(.*\): it comes with Node.js and must be on PATH\n$/);
  });

  type Packages = Record<string, Record<string, unknown>>;

  function locked(packages: Packages) {
    writeFileSync(
      path.join(project, 'package-lock.json'),
      lockfile({ '': { name: 'project' }, ...places(packages) }),
    );
  }

  function installed(packages: Packages) {
    for (const place of Object.keys(places(packages)))
      mkdirSync(path.join(project, place), { recursive: true });
    mkdirSync(path.join(project, 'node_modules'), { recursive: true });
    writeFileSync(path.join(project, 'node_modules/.package-lock.json'), lockfile(places(packages)));
  }

  function places(packages: Packages): Packages {
    return Object.fromEntries(
      Object.entries(packages).map(([name, entry]) => [`node_modules/${name}`, entry]),
    );
  }

  function lockfile(packages: Packages): string {
    return JSON.stringify({ lockfileVersion: 3, packages });
  }
});

/** Puts a program on the script's PATH that records its call and then runs `script`. */
function program(name: string, script = '') {
  const file = path.join(bin, name);
  writeFileSync(file, `#!/bin/sh\nlog='${log}'\necho "${name} $*" >> "$log"\n${script}\n`);
  chmodSync(file, 0o755);
}

/** A package manager whose install command puts redis-server on PATH, unless `script` ends it first. */
function installer(name: string, script = '') {
  program(name, `${script}\n[ "$1" = update ] || /bin/cp "$0" '${path.join(bin, 'redis-server')}'`);
}

function setup({ uid = 0, version = process.versions.node, env = {} } = {}) {
  // The user and the Node.js version of the tests must not matter.
  const disguise = `process.getuid = () => ${uid};
    Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });`;
  const args = ['--import', `data:text/javascript,${encodeURIComponent(disguise)}`, 'scripts/setup.mjs'];
  const result = spawnSync(process.execPath, args, {
    cwd: project,
    env: { PATH: bin, ...env },
    encoding: 'utf8',
  });
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

function calls(): string[] {
  return readFileSync(log, 'utf8').split('\n').filter(Boolean);
}
