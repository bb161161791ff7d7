import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { killAll, startInstance } from '../helpers/instance';
import { installPacked, type PackedInstall } from '../helpers/packedInstall';
import { freePort, type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

/*
 * The package as its users get it: packed, unpacked into an empty project, and used there.
 */

let installed: PackedInstall;
let redis: RedisServer;

beforeAll(async () => {
  installed = installPacked();
  installed.link('@types/node');
  redis = await startRedis();
});

afterEach(killAll);

afterAll(async () => {
  await redis.stop();
  installed.remove();
});

describe('the packed files', () => {
  it('are what a user needs, and nothing else', () => {
    const expected = [
      /^dist\/(?:\w+\/)?\w+\.(?:js|d\.ts|lua)$/,
      /^dist\/web\/live\/\w+\.(?:html|css|js|svg)$/,
      /^docs\/(?:reference\/)?[\w-]+\.(?:md|png)$/,
      /^examples\/[\w/]+\.(?:mjs|ts|md|sql|json)$/,
      /^deploy\/[\w@-]+\.(?:service|mjs|json|ya?ml)$/,
      /^schemas\/\w+\.json$/,
      /^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|\.env\.example)$/,
    ];
    expect(installed.files.filter((file) => !expected.some((pattern) => pattern.test(file)))).toEqual([]);
    expect(installed.files).toEqual(
      expect.arrayContaining([
        ...[
          'dist/main.js',
          'dist/index.d.ts',
          'dist/web/live/index.html',
          'dist/errorLog/recorderThread.js',
          'docs/embedding.md',
          'examples/lines.mjs',
          '.env.example',
          'schemas/status.json',
        ],
        ...['examples/outbox/schema.sql', 'examples/embedded/src/server.ts', 'LICENSE', 'README.md'],
      ]),
    );
  });

  it('exclude leftovers of a working checkout', () => {
    const directory = mkdtempSync(join(tmpdir(), 'nic-pack-'));
    try {
      cpSync('package.json', join(directory, 'package.json'));
      const wanted = [
        'dist/main.js',
        'examples/embedded/src/server.ts',
        'examples/outbox/task.mjs',
        'README.md',
      ];
      const litter = [
        ...[
          'examples/embedded/node_modules/x/index.js',
          'examples/embedded/dist/server.js',
          '.env',
          'src/main.ts',
        ],
        ...['examples/outbox/package-lock.json', '__tests__/x.test.ts', '.redis/redis.log', 'bench/x.mjs'],
      ];
      for (const file of [...wanted, ...litter]) {
        mkdirSync(join(directory, dirname(file)), { recursive: true });
        writeFileSync(join(directory, file), '');
      }
      const output = execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], {
        cwd: directory,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const [{ files }] = JSON.parse(output) as [{ files: { path: string }[] }];
      expect(files.map(({ path }) => path).sort()).toEqual([...wanted, 'package.json'].sort());
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('are small', () => {
    const picture = statSync('docs/live-view.png').size;
    expect(installed.bytes - picture).toBeLessThan(400_000);
  });

  it('have no production dependency that only examples and tests need', () => {
    const examples = ['cron-parser', 'fast-xml-parser', 'pg'];
    expect(Object.keys(manifest().dependencies).filter((name) => examples.includes(name))).toEqual([]);
  });

  it('need no install script', () => {
    const { scripts } = manifest();
    for (const name of ['preinstall', 'install', 'postinstall']) expect(scripts).not.toHaveProperty(name);
  });
});

describe('the package', () => {
  it('has the same exports for import and for require', () => {
    const script = `
      import { createRequire } from 'node:module';
      import { createInstance } from 'node-instances-communication';
      const required = createRequire(import.meta.url)('node-instances-communication');
      console.log(typeof createInstance, required.createInstance === createInstance, Object.keys(required).join());`;
    const { stdout, stderr } = node(['--input-type=module', '--eval', script]);
    expect([stdout, stderr]).toEqual(['function true createInstance\n', '']);
  });

  it('has a testing entry point that does not load Redis', () => {
    const script = `
      import { createRequire } from 'node:module';
      import { runTask } from 'node-instances-communication/testing';
      const require = createRequire(import.meta.url);
      const same = require('node-instances-communication/testing').runTask === runTask;
      const libraries = Object.keys(require.cache).filter((file) => /ioredis|bullmq|winston/.test(file));
      console.log(typeof runTask, same, libraries.length);`;
    const { stdout, stderr } = node(['--input-type=module', '--eval', script]);
    expect([stdout, stderr]).toEqual(['function true 0\n', '']);
  });

  it('has the program as its bin entry', () => {
    const file = join(installed.package, manifest().bin['node-instances-communication']!);
    expect(readFileSync(file, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(node([file, '--version']).stdout).toBe(`${manifest().version}\n`);
    expect(node([file, '--help']).stdout).toMatch(/^Usage: node-instances-communication \[command\]/);
    expect(node([file, '--help']).stdout).not.toContain('npm start');
  });
});

describe.each([
  ['cron', 'cron-parser', { SCHEDULE: '* * * * * *' }],
  ['feed', 'fast-xml-parser', { URL: 'http://127.0.0.1:1/feed.xml' }],
])('examples/%s.mjs of the package', (example, dependency, settings) => {
  const env = { TASK: '', NAMESPACE: `packed-${example}`, ...settings };
  beforeAll(() => void (env.TASK = join(installed.package, `examples/${example}.mjs`)));
  const run = () => start(join(installed.package, 'dist/main.js'), env);

  it(`asks for ${dependency} to be installed, and runs once it is`, async () => {
    const refused = run();
    expect(await refused.exited).toBe(2);
    expect(refused.noise).toEqual([
      expect.stringContaining(`run "npm install ${dependency}" where the task`),
    ]);
    installed.link(dependency);
    const program = run();
    await program.logged('generating');
    program.signal('SIGTERM');
    expect(await program.exited).toBe(0);
  });
});

describe('a project in TypeScript, strict and with skipLibCheck: false', () => {
  const examples = blocks('ts');

  // Compiling is slow, so check examples/embedded, the code of docs/embedding.md and its mistakes in one run.
  beforeAll(() => {
    cpSync('examples/embedded', join(installed.directory, 'project'), { recursive: true });
    const mistaken = examples[0]!
      .replace('  async *generate', '  // @ts-expect-error\n$&')
      .replace('degrees: 9', 'degrees: "nine"');
    lay('project/src', {
      ...Object.fromEntries(examples.map((code, index) => [`example${index + 1}.ts`, code])),
      'mistaken.ts': mistaken,
      'tested.ts': `import type { GenerateContext } from 'node-instances-communication';
        import { runTask } from 'node-instances-communication/testing';
        async function* generate({ cursor = 0 }: GenerateContext<number>) {
          yield { messages: [{ page: cursor }], cursor };
        }
        const { handled } = await runTask({ generate, handle: ({ page }) => page }, { cursor: 3 });
        export const page: number = handled[0]!.message.page;`,
      'required.cts': `import nic = require('node-instances-communication');
        export const instance: nic.Instance = nic.createInstance({ env: { BOARD: 'off' } });`,
    });
    const compiler = resolve('node_modules/typescript/bin/tsc');
    const { status, stdout } = node([compiler, '-p', join(installed.directory, 'project')]);
    if (status !== 0) throw new Error(stdout);
  });

  it('runs an instance from docs/embedding.md, and exits by itself once the instance is stopped', async () => {
    const program = start('project/dist/example1.js');
    await waitFor(async () => (await completed('readings')) === 1000, 'all readings to be handled');
    program.signal('SIGTERM');
    expect(await program.exited).toBe(0);
  });

  it('starts and stops one whose types are inferred', async () => {
    expect(await start('project/dist/example2.js', { NAMESPACE: 'inferred' }).exited).toBe(0);
  });

  it('runs its task with the installed program', async () => {
    expect(examples).toHaveLength(4);
    const env = { NAMESPACE: 'program', TASK: join(installed.directory, 'project/dist/example4.js') };
    const program = start(join(installed.package, manifest().bin['node-instances-communication']!), env);
    await program.logged('page 3');
    program.signal('SIGTERM');
    expect(await program.exited).toBe(0);
  });

  it('runs examples/embedded, whose instances share the work and shut down cleanly', async () => {
    const asked: string[] = [];
    const sites = createServer(({ url }, response) => {
      asked.push(url!);
      response.writeHead(url === '/sound' ? 200 : 503).end('x'.repeat(100_000));
    });
    await once(sites.listen(0, '127.0.0.1'), 'listening');
    const site = (path: string) => `http://127.0.0.1:${(sites.address() as AddressInfo).port}/${path}`;
    const ports = [await freePort(), await freePort()];
    const env = { URLS: `${site('sound')},${site('broken')}`, EVERY_MS: '50' };
    const services = ports.map((port) => start('project/dist/server.js', { ...env, PORT: String(port) }));
    try {
      for (const port of ports) {
        const results = await waitFor(async () => {
          const response = await fetch(`http://127.0.0.1:${port}`).catch(() => undefined);
          const seen = (await response?.json()) as { url: string; status: number }[] | undefined;
          return seen?.length === 2 && seen;
        }, `what the service at ${port} has seen`);
        expect(results).toEqual(
          expect.arrayContaining([
            expect.objectContaining({ url: site('sound'), status: 200 }),
            expect.objectContaining({ url: site('broken'), status: 503 }),
          ]),
        );
      }
      for (const service of services) service.signal('SIGTERM');
      expect(await Promise.all(services.map((service) => service.exited))).toEqual([0, 0]);
      // Each round appears once, whichever instance handled it.
      const rounds = Number(await redis.client.hget('{checks}:cursor', 'cursor'));
      expect(asked.length).toBeLessThanOrEqual(rounds * 2);
    } finally {
      sites.close();
      sites.closeAllConnections();
    }
  });

  it('ends examples/embedded with one line when there is no Redis', async () => {
    const service = start('project/dist/server.js', { REDISURL: 'redis://127.0.0.1:1', PORT: '0' });
    expect(await service.exited).toBe(1);
    expect(service.noise).toEqual([
      expect.stringMatching(/^Redis at redis:\/\/127\.0\.0\.1:1 cannot be reached/),
    ]);
  });
});

it('each of examples/mounted serves the web application of an instance under a path of its own server', async () => {
  await Promise.all(['fastify', 'express', 'hono'].map(serve));

  async function serve(framework: string) {
    const directory = `mounted-${framework}`;
    cpSync('examples/mounted', join(installed.directory, directory), { recursive: true });
    if (framework !== 'hono') installed.link(framework);
    const port = await freePort();
    const env = { PORT: String(port), NAMESPACE: directory, LOG_LEVEL: 'warn' };
    const program = start(`${directory}/${framework}.mjs`, env);
    const url = `http://localhost:${port}`;
    const seen = await waitFor(async () => {
      const response = await fetch(url).catch(() => undefined);
      const found = (await response?.json()) as { leads: boolean; errors: number } | undefined;
      return found?.errors === 2 && found;
    }, 'the errors');
    expect(seen).toEqual({ leads: true, errors: 2 });

    const page = await fetch(`${url}/nic`);
    expect([page.status, page.url]).toEqual([200, `${url}/nic/`]);
    expect(await page.text()).toContain('href="live/live.css"');
    expect((await fetch(`${url}/nic/live/main.js`)).headers.get('content-type')).toContain('text/javascript');
    expect(await (await fetch(`${url}/nic/readyz`)).json()).toMatchObject({ ready: true });
    expect(await (await fetch(`${url}/nic/metrics`)).text()).toMatch(
      /^nic_leader\{group="mounted-\w+"\} 1$/m,
    );
    expect(await (await fetch(`${url}/nic/board`)).text()).toContain('<base href="/nic/board/"');
    expect((await fetch(`${url}/nic/board/api/queues`)).status).toBe(200);

    const events = await fetch(`${url}/nic/events`);
    const { value } = (await events.body!.getReader().read()) as { value?: Uint8Array };
    expect(new TextDecoder().decode(value)).toContain(`"namespace":"${directory}"`);

    const clear = (origin: string) =>
      fetch(`${url}/nic/live/errors/clear`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin },
        body: '{"all":true}',
      });
    expect((await clear('http://elsewhere.example')).status).toBe(403);
    expect(await (await clear(url)).json()).toEqual({ done: 2, left: [] });
    // The open event stream does not keep the process alive.
    program.signal('SIGTERM');
    expect(await program.exited).toBe(0);
  }
});

it.each([
  ['docs/embedding.md, CommonJS', 'demo.cjs', () => blocks('js').find((code) => code.includes('require('))!],
  [
    'README.md',
    'readme.mjs',
    () => blocks('js', 'README.md').find((code) => code.includes('createInstance'))!,
  ],
])('the example of %s runs unchanged', async (_, file, code) => {
  lay('.', { [file]: code() });
  const program = start(file);
  if (file === 'readme.mjs') {
    await waitFor(async () => (await completed('embedded')) === 3, 'its messages');
    program.signal('SIGTERM');
  }
  expect(await program.exited).toBe(0);
});

interface Manifest {
  version: string;
  bin: Record<string, string>;
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
}

const manifest = () => JSON.parse(readFileSync(join(installed.package, 'package.json'), 'utf8')) as Manifest;

/** Runs Node.js in the project directory until it exits. */
function node(args: readonly string[]) {
  const env = { PATH: process.env['PATH'] };
  return spawnSync(process.execPath, args, { cwd: installed.directory, encoding: 'utf8', env });
}

/** Starts a program in the project directory. */
function start(file: string, env: Record<string, string> = {}) {
  return startInstance(
    { REDISURL: redis.url, ...env },
    [resolve(installed.directory, file)],
    installed.directory,
  );
}

const completed = (namespace: string) => redis.client.zcard(`{${namespace}}:messages:completed`);

/** Writes text files into a directory of the project. */
function lay(directory: string, files: Record<string, string>): void {
  for (const [file, text] of Object.entries(files))
    writeFileSync(join(installed.directory, directory, file), text);
}

/** Returns the code blocks of a language in a document. */
function blocks(language: string, file = 'docs/embedding.md'): string[] {
  const all = [...readFileSync(file, 'utf8').matchAll(/^```(\w+)\n([^]*?)^```/gm)];
  return all.filter(([, each]) => each === language).map(([, , code]) => code!);
}
