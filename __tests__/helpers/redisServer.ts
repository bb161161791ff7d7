import type { startRedis as start } from '../../testkit/redis.cjs';

export { freePort } from '../../testkit/ports.cjs';
export { DURABLE, startRedis } from '../../testkit/redis.cjs';

export type RedisServer = Awaited<ReturnType<typeof start>>;
