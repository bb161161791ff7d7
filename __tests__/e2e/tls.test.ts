import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ELECTED, killAll, startInstance } from '../helpers/instance';
import { freePort, type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const directory = mkdtempSync(join(tmpdir(), 'nic-tls-'));
const file = (name: string) => join(directory, name);
let redis: RedisServer;
let url: string;

beforeAll(async () => {
  for (const name of ['server', 'other']) {
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1']
        .concat(['-addext', 'subjectAltName=IP:127.0.0.1'])
        .concat(['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)]),
      { stdio: 'ignore' },
    );
  }
  ({ redis, url } = await startWithTls());
});

async function startWithTls(more: string[] = []) {
  const port = await freePort();
  const server = await startRedis(
    ['--save', '', '--tls-port', String(port), '--tls-auth-clients', 'no']
      .concat(['--tls-cert-file', file('server.crt'), '--tls-key-file', file('server.key')])
      .concat(['--tls-ca-cert-file', file('server.crt')])
      .concat(more),
  );
  return { redis: server, url: `rediss://127.0.0.1:${port}` };
}

afterAll(async () => {
  await killAll();
  await redis.stop();
  rmSync(directory, { recursive: true });
});

it('an instance works over TLS with the certificate authority in REDIS_CA_FILE', async () => {
  const instance = startInstance({ REDISURL: url, REDIS_CA_FILE: file('server.crt'), DEMO_ERROR_RATE: '0' });
  await instance.logged(ELECTED);
  await instance.logged('message 1 handled');
});

it('an instance works over TLS in a Cluster whose nodes announce their TLS ports', async () => {
  const cluster = [
    '--cluster-enabled',
    'yes',
    '--tls-cluster',
    'yes',
    '--cluster-port',
    String(await freePort()),
  ];
  const started = await startWithTls(cluster);
  try {
    const { client } = started.redis;
    await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383);
    await waitFor(async () => (await client.cluster('INFO')).includes('cluster_state:ok'), 'the Cluster');
    const REDISURL = started.url.replace('rediss:', 'rediss+cluster:');
    const instance = startInstance({ REDISURL, REDIS_CA_FILE: file('server.crt'), DEMO_ERROR_RATE: '0' });
    await instance.logged('message 1 handled');
    const { code, stderr } = await runCommand(['status'], { REDISURL });
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/certificate/) as string });
    const plain = await runCommand(['status'], { REDISURL: 'redis+cluster://127.0.0.1:1' });
    expect(plain.stderr).toMatch(
      /^error: Redis at redis\+cluster:\/\/127.0.0.1:1 cannot be reached: .*ECONNREFUSED/,
    );
    expect(plain.code).toBe(1);
  } finally {
    await killAll();
    await started.redis.stop();
  }
});

it.each([
  ['of another authority', { REDIS_CA_FILE: file('other.crt') }],
  ['of an authority that nobody knows', {}],
])('a certificate %s is refused with exit code 1 and a line that says so', async (_, env) => {
  const { code, stdout, stderr } = await runCommand(['status'], { REDISURL: url, ...env });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(
    /^error: Redis at rediss:\/\/127\.0\.0\.1:\d+ cannot be reached: .*certificate.*\n$/,
  );
});

it('a missing certificate file is a configuration error', async () => {
  const { code, stderr } = await runCommand(['status'], { REDISURL: url, REDIS_CA_FILE: file('none.crt') });
  expect(code).toBe(2);
  expect(stderr).toMatch(/^error: REDIS_CA_FILE .*none\.crt cannot be read: .*\n$/);
});
