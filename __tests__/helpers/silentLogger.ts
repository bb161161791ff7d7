import { createLogger } from 'winston';

/** A logger for tests that do not check the log. */
export const silentLogger = createLogger({ silent: true });
