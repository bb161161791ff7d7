import type { Config } from '../configuration/config';
import { findOrStartLocalRedis } from './localServer';
import type { Logger } from '../logging/logger';
import type { RedisAddress } from './address';

const SERVER = { host: '127.0.0.1', port: 6379 };
const LOCAL: RedisAddress = { kind: 'single', nodes: [SERVER], db: 0, tls: false };

/** Returns the configured Redis, or by default the one on this machine, whether or not it is running. */
export function redisOf(config: Pick<Config, 'redis'>): RedisAddress {
  return config.redis ?? LOCAL;
}

/**
 * Returns the Redis to run an instance on. If none is configured, that is the one on this machine. It is started if
 * necessary, except in production, where nobody expects data on an instance's own disk.
 *
 * @throws AppError (exit code 1) if none is running and none can be started
 */
export async function provideRedis(
  config: Pick<Config, 'redis' | 'production'>,
  logger: Logger,
): Promise<RedisAddress> {
  if (config.redis === undefined) {
    await findOrStartLocalRedis({
      ...SERVER,
      directory: '.redis',
      mayStart: !config.production,
      onStarted: ({ address, directory }) =>
        // Where the package is installed as a dependency, its npm scripts are not available.
        logger.info(
          `REDISURL is not set: started a Redis server here; "npm run redis:stop" stops it, or "redis-cli -p ${SERVER.port} shutdown"`,
          { address, directory },
        ),
    });
  }
  return redisOf(config);
}
