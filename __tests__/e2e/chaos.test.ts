import { expectToSurvive } from '../helpers/chaos';

it('no message is lost or duplicated under faults of every kind', async () => {
  await expectToSurvive(['--minutes', '0.25', '--seed', '7']);
}, 150_000);
