import { resolve } from 'node:path';
import { history, jobCounts, upTo } from '../helpers/history';
import { type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

it('a rolling upgrade under load loses no message and hardly interrupts generation', async () => {
  const redis = await startRedis();
  const env = {
    REDISURL: redis.url,
    TASK: resolve('bench/tasks/intervalTask.mjs'),
    KEEP_COMPLETED: '1000000',
  };
  try {
    const generated = async () => Number((await redis.client.hget('{nic}:cursor', 'generated')) ?? 0);
    const old = [1, 2, 3].map(() => startInstance(env));
    await Promise.all(old.map((instance) => instance.logged('started')));
    await waitFor(async () => (await generated()) > 0, 'the first message');

    let longestMs = 0;
    let watching = true;
    const watched = (async () => {
      let last = await generated();
      let lastAt = performance.now();
      while (watching) {
        const now = await generated();
        if (now > last) {
          longestMs = Math.max(longestMs, performance.now() - lastAt);
          [last, lastAt] = [now, performance.now()];
        }
        await new Promise((done) => setTimeout(done, 2));
      }
    })();

    const replacements: InstanceProcess[] = [];
    for (const instance of old) {
      instance.signal('SIGTERM');
      expect(await instance.exited).toBe(0);
      const replacement = startInstance(env);
      replacements.push(replacement);
      await replacement.logged('started');
    }
    const leader = await redis.client.hget('{nic}:leader', 'instance');
    expect(replacements.map(({ name }) => name)).toContain(leader);
    watching = false;
    await watched;
    // About 50 ms on an idle machine (npm run bench); here other tests compete for the cores.
    expect(longestMs).toBeLessThan(1000);

    for (const instance of replacements) instance.signal('SIGTERM');
    await Promise.all(replacements.map(({ exited }) => exited));
    const all = await history<{ number: number }>(redis.client);
    expect(all.map(({ message }) => message.number)).toEqual(upTo(await generated()));
    const { completed, wait, ...rest } = await jobCounts(redis.client);
    expect(completed + wait).toBe(all.length);
    expect(rest).toEqual({ active: 0, delayed: 0, failed: 0 });
  } finally {
    await killAll();
    await redis.stop();
  }
});
