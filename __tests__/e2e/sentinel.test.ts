import { startSentinels } from '../../testkit/sentinel.cjs';
import { expectToSurvive } from '../helpers/chaos';
import { runCommand } from '../helpers/runCommand';

it('the master is killed under load: no instance is restarted, nothing that is left is wrong', async () => {
  const faults = ['--faults', 'failover,lag', '--actions', 'none', '--times', '3'];
  await expectToSurvive(['--redis', 'sentinel', '--seed', '3', ...faults]);
}, 120_000);

it('an unknown master name and wrong passwords for the Sentinels or the server are distinguished', async () => {
  const sentinels = await startSentinels({ replicas: 0, password: 'Sesame', sentinelPassword: 'Watch' });
  try {
    const url = (login: string, name = 'mymaster') =>
      sentinels.url.replace('://', `://${login}`).replace('/mymaster', `/${name}`);
    const tell = async (REDISURL: string, SENTINEL_PASSWORD: string) => {
      const { code, stderr } = await runCommand(['status'], { REDISURL, SENTINEL_PASSWORD });
      expect(stderr).not.toContain('Sesame');
      return { code, text: stderr };
    };
    expect(await tell(url(':Sesame@'), 'Watch')).toEqual({ code: 0, text: '' });
    expect(await tell(url(':Sesame@', 'other'), 'Watch')).toEqual({
      code: 1,
      text: expect.stringMatching(/cannot be reached: the Sentinels know no master named "other"/) as string,
    });
    expect(await tell(url(':wrong@'), 'Watch')).toEqual({
      code: 1,
      text: expect.stringMatching(/^error: Redis at .* refused the user or password: WRONGPASS/) as string,
    });
    expect(await tell(url(':Sesame@'), 'wrong')).toEqual({
      code: 1,
      text: expect.stringMatching(
        /a Sentinel refused the user or password \(SENTINEL_USER, SENTINEL_PASSWORD\): WRONGPASS/,
      ) as string,
    });
  } finally {
    await sentinels.stop();
  }
});
