import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveConfig } from '../../src/configuration/config';
import { type DockerInstruction, readCompose, readDockerfile, readUnit } from '../helpers/deployFiles';

const UNIT = 'deploy/node-instances-communication.service';
/** What a shutdown takes beyond SHUTDOWN_TIMEOUT_MS: the bounded steps before and after the active messages. */
const BEYOND_MS = 5000;

describe('compose.yaml', () => {
  const { app, redis } = readCompose({ REDIS_PASSWORD: 'abc123', BOARD_PASSWORD: 'def456' });

  it('sets only variables that are in .env.example', () => {
    const known = [...readFileSync('.env.example', 'utf8').matchAll(/^# ([A-Z][A-Z0-9_]*)=/gm)].map(
      ([, name]) => name,
    );
    expect(known).toEqual(expect.arrayContaining(Object.keys(app!.environment!)));
  });

  it('is a valid configuration with the passwords from the environment', () => {
    const config = resolveConfig(app!.environment!);
    expect(config.redis).toMatchObject({ nodes: [{ host: 'redis', port: 6379 }], password: 'abc123' });
    expect(config.board).toMatchObject({ on: true, host: '0.0.0.0', port: 3000, password: 'def456' });
    expect(config.strictRedis).toBe(true);
  });

  it.each(['REDIS_PASSWORD', 'BOARD_PASSWORD'])('is refused without %s', (name) => {
    const variables = { REDIS_PASSWORD: 'a', BOARD_PASSWORD: 'b', [name]: '' };
    expect(() => readCompose(variables)).toThrow(`required variable ${name} is missing a value: set it to`);
  });

  it('runs three instances with automatic restart once Redis is healthy', () => {
    expect(app!.deploy!.replicas).toBe(3);
    expect(app!.restart).toBe('unless-stopped');
    expect(app!.depends_on).toEqual({ redis: { condition: 'service_healthy' } });
    expect(app!.healthcheck!.test).toEqual(['CMD', ...image.find(is('HEALTHCHECK'))!.list!]);
  });

  it('lets an instance finish its active messages', () => {
    const grace = milliseconds(app!.stop_grace_period!);
    expect(grace).toBeGreaterThan(10_000);
    const { shutdownTimeoutMs } = resolveConfig(app!.environment!);
    expect(grace).toBeGreaterThanOrEqual(shutdownTimeoutMs + BEYOND_MS);
  });

  it('publishes a port for each instance on loopback only', () => {
    const [, first, last, inside] = /^127\.0\.0\.1:(\d+)-(\d+):(\d+)$/.exec(app!.ports!.join())!;
    expect(Number(last) - Number(first)).toBeGreaterThanOrEqual(app!.deploy!.replicas - 1);
    expect(Number(inside)).toBe(resolveConfig(app!.environment!).board.port);
    expect(redis!.ports).toBeUndefined();
  });

  it('has a durable Redis that requires the password', () => {
    const settings = settingsOf(redis!.command!);
    expect(settings).toMatchObject({
      appendonly: 'yes',
      'maxmemory-policy': 'noeviction',
      requirepass: 'abc123',
    });
    expect(redis!.volumes).toEqual(['redis-data:/data']);
    expect(redis!.restart).toBe('unless-stopped');
    // redis-server knows each of them.
    const answer = spawnSync('redis-server', [...redis!.command!.slice(1), '--port', 'none'], {
      encoding: 'utf8',
    });
    expect(answer.stdout + answer.stderr).toMatch(/'port "none"'/);
  });
});

const image = readDockerfile().at(-1)!;
const is = (keyword: string) => (instruction: DockerInstruction) => instruction.keyword === keyword;

describe('Dockerfile', () => {
  const all = readDockerfile().flat();

  it('builds in separate stages, and installs packages from the lockfile without running their scripts', () => {
    expect(readDockerfile().length).toBeGreaterThan(1);
    expect(all.filter(is('ADD'))).toEqual([]);
    const installs = all.filter(is('RUN')).map(({ words }) => words.join(' '));
    const npm = installs.filter((text) => /npm (ci|i|install)\b/.test(text));
    expect(npm).not.toEqual([]);
    for (const text of npm) expect(text).toMatch(/^npm ci .*--ignore-scripts\b/);
    // The files of the image come from the stage without dev dependencies.
    const from = image.find(({ words }) => words.includes('/app/node_modules'))!.flags['from'];
    const stage = readDockerfile().find(([first]) => first!.words.at(-1) === from)!;
    expect(stage.filter(is('RUN')).map(({ words }) => words.join(' '))).toEqual([
      expect.stringContaining('--omit=dev --omit=optional --omit=peer'),
    ]);
  });

  it('runs in production as a numeric user other than root', () => {
    expect(image.find(is('ENV'))!.words).toContain('NODE_ENV=production');
    const users = image.filter(is('USER'));
    expect(users.at(-1)!.words.join()).toMatch(/^[1-9]\d*(:[1-9]\d*)?$/);
  });

  it('has no shell between the signals and Node.js', () => {
    for (const keyword of ['ENTRYPOINT', 'CMD', 'HEALTHCHECK']) {
      expect(image.filter(is(keyword)).map(({ list }) => list)).toEqual([expect.any(Array)]);
    }
    expect(image.find(is('ENTRYPOINT'))!.list).toEqual(['node', 'dist/main.js']);
  });

  it('copies only files that exist and that .dockerignore does not exclude', () => {
    const sources = all
      .filter((each) => each.keyword === 'COPY' && each.flags['from'] === undefined)
      .flatMap(({ words }) => words.slice(0, -1));
    expect(sources).toEqual(expect.arrayContaining(['package.json', 'src', 'deploy/healthcheck.mjs']));
    for (const source of sources) {
      expect([source, existsSync(source), isIgnored(source)]).toEqual([source, true, false]);
    }
  });

  it('excludes secret and large files from the build context', () => {
    const never = ['.env', '.git', 'node_modules', 'dist', '.redis/appendonlydir', 'examples/outbox/.env'];
    const examples = ['examples/embedded/node_modules', 'deploy/secrets.env'];
    for (const path of [...never, ...examples]) expect([path, isIgnored(path)]).toEqual([path, true]);
  });
});

describe('the systemd unit', () => {
  const { Service: service, Unit: unit } = readUnit(UNIT);

  it('is always restarted, except after a configuration error', () => {
    expect(service).toMatchObject({ Restart: ['always'], RestartPreventExitStatus: ['2'] });
    expect(unit).toMatchObject({ StartLimitIntervalSec: ['0'] });
  });

  it('is stopped by a signal with enough time to shut down', () => {
    expect(service).toMatchObject({ KillSignal: ['SIGTERM'], KillMode: ['mixed'] });
    const patience = Number(service!['TimeoutStopSec']![0]) * 1000;
    expect(patience).toBeGreaterThanOrEqual(resolveConfig({}).shutdownTimeoutMs + BEYOND_MS);
  });

  it('runs without root, and does not forbid compiling code (which V8 needs)', () => {
    expect(service).toMatchObject({
      DynamicUser: ['yes'],
      ProtectSystem: ['strict'],
      Environment: ['NODE_ENV=production'],
    });
    expect(service).not.toHaveProperty('MemoryDenyWriteExecute');
  });

  const verifies = existsSync('/usr/bin/systemd-analyze') ? it : it.skip;
  verifies.each(['', '@'])('is accepted by systemd, also as a template%s', (at) => {
    const directory = mkdtempSync(join(tmpdir(), 'nic-unit-'));
    try {
      const file = join(directory, `node-instances-communication${at}.service`);
      // systemd-analyze checks that the program exists.
      writeFileSync(file, readFileSync(UNIT, 'utf8').replaceAll('/usr/bin/node', process.execPath));
      const options = { encoding: 'utf8', stdio: 'pipe', cwd: directory } as const;
      const name = at ? file.replace('@', '@one') : file;
      const { stdout, stderr, status } = spawnSync('systemd-analyze', ['verify', name], options);
      expect([status, stdout, stderr]).toEqual([0, '', '']);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('docs/deployment.md', () => {
  const text = readFileSync('docs/deployment.md', 'utf8');

  it('names only variables that exist', () => {
    const known = readFileSync('.env.example', 'utf8') + readFileSync('compose.yaml', 'utf8');
    const named = [...text.matchAll(/\b([A-Z]+_[A-Z_]+|TASK|NAMESPACE|BOARD|REDISURL)\b/g)].map(
      ([name]) => name,
    );
    expect(named.length).toBeGreaterThan(20);
    expect([...new Set(named)].filter((name) => !known.includes(name))).toEqual([]);
  });

  it('links only to files and headings that exist', () => {
    const links = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) =>
      join('docs', link!.replace(/#.*/, '')),
    );
    const paths = [...text.matchAll(/\b(?:deploy|dist|docs)\/[\w@.-]+\.\w+/g)].map(([path]) => path);
    expect(links.length).toBeGreaterThan(2);
    for (const path of [...links, ...paths]) expect([path, existsSync(path)]).toEqual([path, true]);
  });
});

/** Returns whether .dockerignore excludes a path: the last line that matches it or a parent directory decides. */
function isIgnored(path: string): boolean {
  const parts = path.split('/');
  const above = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  let ignored = false;
  for (const line of readFileSync('.dockerignore', 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const pattern = line.replace(/^!/, '');
    const expression = pattern
      .replace(/[.+^$()|[\]\\]/g, '\\$&')
      .replace(/\*\*\/|\*/g, (stars) => (stars === '*' ? '[^/]*' : '(.*/)?'));
    if (above.some((each) => new RegExp(`^${expression}$`).test(each))) ignored = !line.startsWith('!');
  }
  return ignored;
}

function settingsOf([, ...args]: string[]): Record<string, string> {
  const settings: Record<string, string> = {};
  for (let index = 0; index < args.length; index += 2) {
    expect(args[index]).toMatch(/^--/);
    settings[args[index]!.slice(2)] = args[index + 1]!;
  }
  return settings;
}

function milliseconds(duration: string): number {
  const [, count, unit] = /^(\d+)(s|m)$/.exec(duration)!;
  return Number(count) * (unit === 's' ? 1000 : 60_000);
}
