import type { startInstance as start } from '../../testkit/instances.cjs';

export { ELECTED, killAll, startInstance } from '../../testkit/instances.cjs';

export type InstanceProcess = ReturnType<typeof start>;
export type LogLine = InstanceProcess['log'][number];
