import { expectToSurvive } from '../helpers/chaos';

it('faults of every kind loses and doubles nothing', async () => {
  await expectToSurvive(['--minutes', '0.25', '--seed', '7']);
}, 150_000);
