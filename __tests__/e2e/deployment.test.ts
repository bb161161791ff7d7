import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { readDockerfile, readUnit } from '../helpers/deployFiles';
import { type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { installPacked, type PackedInstall } from '../helpers/packedInstall';
import { freePort, type RedisServer, startRedis } from '../helpers/redisServer';

/*
 * Tests have neither a container engine nor systemd. They run the command lines that these would run, in
 * the package as it is published.
 */

let redis: RedisServer;
let installed: PackedInstall;

beforeAll(async () => {
  installed = installPacked();
  redis = await startRedis();
});

afterEach(killAll);

afterAll(async () => {
  await redis.stop();
  installed.remove();
});

const image = readDockerfile().at(-1)!;
const list = (keyword: string) => image.find((each) => each.keyword === keyword)!.list!;

/** Runs a command line of the image: `node` and its arguments, in its working directory. */
function inImage([program, ...args]: readonly string[], env: Record<string, string>) {
  expect(program).toBe('node');
  const options = {
    cwd: installed.package,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...env },
  } as const;
  return spawnSync(process.execPath, args, options);
}

describe('the image', () => {
  it('runs a healthy instance and shuts down cleanly on SIGTERM', async () => {
    const env = { ...(await settings()), NAMESPACE: 'image' };
    const [program, ...args] = [...list('ENTRYPOINT'), ...list('CMD')];
    expect(program).toBe('node');
    const instance = startInstance(env, args, installed.package);
    await instance.logged('board is up');
    expect(inImage(list('HEALTHCHECK'), env).status).toBe(0);
    await stopsInOrder(instance);
    expect(inImage(list('HEALTHCHECK'), env).status).toBe(1);
  });

  it('runs a command instead of an instance', async () => {
    const { status, stdout } = inImage([...list('ENTRYPOINT'), 'status', '--json'], await settings());
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ leader: null, instances: [] });
  });
});

describe('the health check', () => {
  it.each([
    ['on all addresses', { BOARD_HOST: '0.0.0.0', BOARD_PASSWORD: 'secret' }],
    ['on IPv6 loopback', { BOARD_HOST: '::1' }],
    ['on one address', { BOARD_HOST: '127.0.0.2' }],
  ])('finds a board that listens %s', async (_, board) => {
    const env = { ...(await settings()), ...board };
    const instance = startInstance(env);
    await instance.logged('board is up');
    const { status, stdout } = inImage(list('HEALTHCHECK'), env);
    expect([status, stdout]).toEqual([0, expect.stringContaining('/healthz answers 200: ok')]);
  });

  it('prints the response of an unhealthy path', async () => {
    const env = await settings();
    await startInstance(env).logged('board is up');
    const [program, script] = list('HEALTHCHECK');
    const { status, stdout } = inImage([program!, script!, '/nothing'], env);
    expect([status, stdout]).toEqual([1, expect.stringContaining('/nothing answers 404')]);
  });

  it('does nothing if there is no board', () => {
    expect(inImage(list('HEALTHCHECK'), { BOARD: 'off', BOARD_PORT: '1' }).status).toBe(0);
  });
});

it('the systemd unit starts the program from /opt, and its stop signal shuts it down cleanly', async () => {
  const { Service } = readUnit('deploy/node-instances-communication.service');
  const [home, start] = [Service!['WorkingDirectory']![0]!, Service!['ExecStart']![0]!];
  const [program, script, ...rest] = start.split(' ');
  expect([dirname(program!), rest]).toEqual(['/usr/bin', []]);
  const main = script!.replace(home, installed.package);
  expect(existsSync(main)).toBe(true);
  const [name, value] = Service!['Environment']![0]!.split('=') as [string, string];
  const env = { ...(await settings()), NAMESPACE: 'unit', [name]: value };
  const instance = startInstance(env, [main], installed.package);
  await stopsInOrder(instance, Service!['KillSignal']![0] as NodeJS.Signals);
});

/** The environment of an instance with a board on a free port. */
async function settings(): Promise<Record<string, string>> {
  return { REDISURL: redis.url, BOARD: 'on', BOARD_PORT: String(await freePort()), NODE_ENV: 'production' };
}

async function stopsInOrder(instance: InstanceProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  await instance.logged('elected: this instance is the generator');
  instance.signal(signal);
  expect(await instance.exited).toBe(0);
  expect(instance.log.map(({ message }) => message)).toContain('stepped down');
}
