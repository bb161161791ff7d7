import { resolve } from 'node:path';
import { keysOf } from '../../src/keys';
import { startProxy } from '../../testkit/proxy.cjs';
import { runChaos } from '../helpers/chaos';
import { killAll, startInstance } from '../helpers/instance';
import { startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

// One length of each kind: `node chaos/sweep.mjs` goes through all of them.
it('5 s after Redis was away or paused, every promise holds again', async () => {
  const faults = ['--faults', 'redisDown,redisPaused', '--lengths', '800'];
  expect(await runChaos('chaos/sweep.mjs', faults)).toContain(' violations 0');
});

it('a message that was delivered in a lost reply is handled within 5 s', async () => {
  const redis = await startRedis();
  const proxy = await startProxy(redis.port);
  const keys = keysOf('nic');
  try {
    startInstance({
      ...{ REDISURL: proxy.url, TASK: resolve('__tests__/fixtures/countingTask.mjs') },
      ...{ MAX_BACKLOG: '1000', KEEP_COMPLETED: '100000' },
    });
    const isCompleted = async (id: string) => (await redis.client.hexists(keys.job(id), 'finishedOn')) === 1;
    await waitFor(() => isCompleted('20'), 'messages to be handled');
    proxy.blackhole('responses', 'queue');
    await waitFor(async () => (await redis.client.llen(keys.active)) > 0, 'a delivery');
    // The last replies get lost.
    await new Promise((done) => setTimeout(done, 100));
    proxy.heal();
    const startedAt = performance.now();
    const lost = await redis.client.lrange(keys.active, 0, -1);
    expect(lost).toHaveLength(1);
    await waitFor(() => isCompleted(lost[0]!), 'the message to be handled', 15_000);
    // Usually 1 to 2 s: the message is missed twice, a second apart.
    expect(performance.now() - startedAt).toBeLessThan(5500);
  } finally {
    await killAll();
    await proxy.close();
    await redis.stop();
  }
});
