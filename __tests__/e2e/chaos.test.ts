import { expectToSurvive } from '../helpers/chaos';

it('faults of every kind loses and doubles nothing', async () => {
  await expectToSurvive(['--minutes', '0.15', '--seed', '7']);
}, 120_000);
