// A process is killed while it handles a message. How long does it take until the message is redelivered?
import { resolve } from 'node:path';
import { Redis } from 'ioredis';
import { Queue } from 'bullmq';
import instances from '../testkit/instances.cjs';
import servers from '../testkit/redis.cjs';
import { until } from './count.mjs';

export const title = 'a process is killed while it handles a message, and others are idle';

export const elsewhere = {
  with: ['bullmq'],
  what: 'workers with default options',
  run: () =>
    killed(async (server) => {
      const workers = new Map();
      for (const name of ['a', 'b']) {
        const env = { REDISURL: server.url, INSTANCE_NAME: name };
        await new Promise((onMessage) => {
          workers.set(
            name,
            instances.startProgram([resolve('compare/programs/bullmqWorker.mjs')], env, { onMessage }),
          );
        });
      }
      const queue = new Queue('messages', { connection: { url: server.url } });
      await queue.add('message', {});
      await queue.close();
      return workers;
    }),
};

export const here = {
  run: () =>
    killed(async (server) => {
      const task = { TASK: resolve('compare/programs/numbers.mjs'), TOTAL: '1', LEDGER_URL: server.url };
      const start = (name) => instances.startInstance({ REDISURL: server.url, INSTANCE_NAME: name, ...task });
      return new Map(['a', 'b'].map((name) => [name, start(name)]));
    }),
};

async function killed(start) {
  const server = await servers.startRedis();
  const redis = new Redis(server.url);
  const processes = await start(server);
  const name = await until(() => redis.lindex('starts', 0), 'the first start');
  processes.get(name).signal('SIGKILL');
  const killedAt = performance.now();
  await until(async () => (await redis.llen('starts')) > 1, 'the second start');
  const seconds = (performance.now() - killedAt) / 1000;
  for (const { signal, exited } of processes.values()) {
    signal('SIGKILL');
    await exited;
  }
  redis.disconnect();
  await server.stop();
  return { seconds: Number(seconds.toFixed(1)) };
}
