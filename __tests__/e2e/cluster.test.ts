import { startCluster } from '../../testkit/cluster.cjs';
import { expectToSurvive } from '../helpers/chaos';
import { ELECTED, type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

/** Returns the first of several processes to log this message. */
function firstToLog(instances: readonly InstanceProcess[], what: string): Promise<InstanceProcess> {
  return Promise.race(
    instances.map(async (instance) => {
      await instance.logged(what);
      return instance;
    }),
  );
}

it('leadership passes on and the commands work in a Cluster of three masters', async () => {
  const cluster = await startCluster();
  const demo = { DEMO_INTERVAL_MS: '10', DEMO_HANDLE_MS: '0', DEMO_ERROR_RATE: '0.2' };
  const env = { REDISURL: cluster.url, BOARD: 'on', BOARD_PORT: '0', ...demo };
  try {
    const instances = [1, 2, 3].map(() => startInstance(env));
    const generator = await firstToLog(instances, ELECTED);
    const others = instances.filter((instance) => instance !== generator);
    await Promise.all(others.map((instance) => instance.logged('following')));
    const killedAt = performance.now();
    generator.signal('SIGKILL');
    const next = await firstToLog(others, ELECTED);
    expect(performance.now() - killedAt).toBeLessThan(1000);

    const { client } = await cluster.master();
    const generated = async () => Number((await client.hget('{nic}:cursor', 'generated')) ?? 0);
    const before = await generated();
    await waitFor(async () => (await generated()) > before, 'further messages');
    const { stdout: status } = await runCommand(['status', '--json'], env);
    expect(JSON.parse(status)).toMatchObject({
      leader: { instance: next.name, term: 2 },
      instances: [{}, {}],
    });
    await waitFor(async () => (await runCommand(['getErrors'], env)).stdout !== '', 'an error');
    const { code, stderr } = await runCommand(['retryErrors', '--all'], env);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/back in the queue/) as string,
    });

    const { url } = await next.logged((line) => line.message.startsWith('board'));
    const board = await fetch(`${String(url)}/board/api/queues`);
    expect(await board.json()).toMatchObject({ queues: [{ name: 'messages' }] });
  } finally {
    await killAll();
    await cluster.stop();
  }
});

it('when a master of the Cluster dies, stands still or hands over, all goes on without a restart', async () => {
  const faults = ['--faults', 'failover,freeze,switch', '--actions', 'none', '--times', '3'];
  await expectToSurvive(['--redis', 'cluster', '--sources', '3', '--seed', '5', ...faults]);
}, 120_000);
