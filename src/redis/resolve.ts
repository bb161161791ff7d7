import type { Config } from '../config';
import { findOrStartLocalRedis } from './localServer';
import type { Logger } from '../logger';
import type { RedisAddress } from './address';

const SERVER = { host: '127.0.0.1', port: 6379 };
const LOCAL: RedisAddress = { kind: 'single', nodes: [SERVER], db: 0, tls: false };

/** The Redis to use: the configured one, or else the one on this machine, whether it runs or not. */
export function redisOf(config: Pick<Config, 'redis'>): RedisAddress {
  return config.redis ?? LOCAL;
}

/**
 * The Redis to run an instance on. Without a configured one, the one on this machine, started if need be, but never
 * in production: there, data on an instance's own disk would be a surprise.
 *
 * @throws AppError (exit code 1) if there is none and none can be started.
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
        // The installed package has no scripts of npm's.
        logger.info(
          `REDISURL is not set: started a Redis server here; "npm run redis:stop" stops it, or "redis-cli -p ${SERVER.port} shutdown"`,
          { address, directory },
        ),
    });
  }
  return redisOf(config);
}
