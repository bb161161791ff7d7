import type * as Metrics from '../web/metrics';
import type * as Mounted from '../web/mounted';
import type * as OwnLogger from '../logging/ownLogger';
import type * as Server from '../web/server';
import type * as Tracing from '../tracing';

/*
 * Loads modules on demand that take long to load or that only some instances need. It uses require, because import()
 * would fail in a sandbox such as Jest's, in which an instance can be embedded.
 */

/* eslint-disable @typescript-eslint/no-require-imports */
export const load = {
  ownLogger: () => require('../logging/ownLogger') as typeof OwnLogger,
  tracing: () => require('../tracing') as typeof Tracing,
  metrics: () => require('../web/metrics') as typeof Metrics,
  server: () => require('../web/server') as typeof Server,
  mounted: () => require('../web/mounted') as typeof Mounted,
};
