import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { freePort, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

it('idle connections to the board leave file descriptors for the connections to Redis', async () => {
  const [redis, port] = [await startRedis(), await freePort()];
  const instance = spawn('bash', ['-c', 'ulimit -n 200; exec "$NODE" "$MAIN"'], {
    cwd: tmpdir(),
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      REDISURL: redis.url,
      BOARD_PORT: String(port),
      NODE: process.execPath,
      MAIN: resolve('dist/main.js'),
    },
  });
  const exited = once(instance, 'exit');
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
      ({ status }) => status === 200,
      () => false,
    );
  const sockets = [];
  try {
    await waitFor(isReady, 'the instance to be ready');
    for (let count = 0; count < 300; count++) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      sockets.push(socket);
      await once(socket, 'connect');
    }
    await redis.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    // Without a limit, the probe waits until the idle connections time out after 15 s.
    await waitFor(isReady, 'the instance to be ready again', 5000);
    const generated = Number(await redis.client.hget('{nic}:cursor', 'generated'));
    await waitFor(
      async () => Number(await redis.client.hget('{nic}:cursor', 'generated')) > generated,
      'commits to go on',
    );
  } finally {
    for (const socket of sockets) socket.destroy();
    instance.kill('SIGKILL');
    await exited;
    await redis.stop();
  }
});
