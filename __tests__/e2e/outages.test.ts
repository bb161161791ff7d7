import { runChaos } from '../helpers/chaos';

// One length of each kind: `node chaos/sweep.mjs` goes through all of them.
it('5 s after Redis was away or paused, every promise holds again', async () => {
  const faults = ['--faults', 'redisDown,redisPaused', '--lengths', '800'];
  expect(await runChaos('chaos/sweep.mjs', faults)).toContain(' violations 0');
});
