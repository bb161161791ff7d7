import { createLogger } from 'winston';

/** For tests that are not about the log. */
export const silentLogger = createLogger({ silent: true });
