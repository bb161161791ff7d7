import { expectToSurvive } from '../helpers/chaos';

it('half a minute of faults loses and doubles nothing', async () => {
  await expectToSurvive(['--minutes', '0.4', '--seed', '7']);
}, 150_000);
