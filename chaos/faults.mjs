// What can go wrong, and how it is made to. Each fault is put on a victim and taken from it again.
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Some are possible only `on` a single Redis, behind a proxy, or only on several servers.
 *
 * @param world what the run knows: instances, redis, and `order(name, text)` for what an instance does to itself
 * @param random gives 0 up to 1, from the seed
 */
export function createFaults(world, random) {
  const between = (least, most) => least + random() * (most - least);
  const ttl = world.leaseTtlMs;

  return {
    // Its process is gone at once.
    kill: {
      weight: 5,
      async run(victim) {
        victim.kill('SIGKILL');
        await victim.exited;
        world.replace(victim);
      },
    },
    // It is told to stop, and does so in order.
    stop: {
      weight: 3,
      async run(victim) {
        victim.kill('SIGTERM');
        const code = await victim.exited;
        if (code !== 0) world.violation(`${victim.name} ended with ${code} at SIGTERM`);
        world.replace(victim);
      },
    },
    // It stands still for longer than its lease, and goes on as if nothing had been.
    pause: {
      weight: 3,
      async run(victim) {
        victim.kill('SIGSTOP');
        await sleep(between(ttl * 0.5, ttl * 2));
        victim.kill('SIGCONT');
      },
    },
    // It is busy with itself for longer than its lease.
    block: {
      weight: 2,
      async run(victim) {
        const ms = Math.round(between(ttl * 0.5, ttl * 2));
        await world.order(victim.name, `block ${ms}`);
        await sleep(ms);
      },
    },
    // Its connections break, and new ones are refused for a while.
    cut: {
      weight: 3,
      on: 'single',
      async run(victim) {
        const refused = random() < 0.5;
        victim.proxy.refuse(refused);
        victim.proxy.cut();
        if (refused) await sleep(between(50, ttl * 2));
        victim.proxy.refuse(false);
      },
    },
    // Its bytes vanish in one direction or both, while its connections stay.
    halfOpen: {
      weight: 3,
      on: 'single',
      async run(victim) {
        victim.proxy.swallow(['questions', 'answers', 'all'][Math.floor(random() * 3)]);
        await sleep(between(100, ttl * 2));
        // What comes back to life after that is a stream with a hole in it: the network has noticed by then.
        victim.proxy.cut();
        victim.proxy.swallow('nothing');
      },
    },
    // Everything it says and hears is late.
    delay: {
      weight: 2,
      on: 'single',
      async run(victim) {
        victim.proxy.delay(between(20, ttl / 2));
        await sleep(between(200, ttl));
        victim.proxy.delay(0);
      },
    },
    // Its wall clock jumps, forward or back, by up to an hour.
    clock: {
      weight: 2,
      async run(victim) {
        const ms = Math.round(between(-3_600_000, 3_600_000));
        await world.order(victim.name, `jump ${ms}`);
        await sleep(between(200, ttl));
        await world.order(victim.name, `jump ${-ms}`);
      },
    },
    // Redis dies and is started again, with all that it had answered.
    redis: {
      weight: 3,
      on: 'single',
      ofRedis: true,
      async run() {
        await world.redis.kill();
        await sleep(between(0, ttl * 0.75));
        await world.redis.restart();
        await world.redisIsBack();
      },
    },
    // The master dies, a replica takes its place, and what is left of the old one becomes a replica.
    failover: {
      weight: 4,
      on: 'several',
      ofRedis: true,
      async run() {
        const old = await world.redis.master();
        await old.kill();
        await world.redis.succeeded(old);
        await world.redisIsBack();
        await sleep(between(0, 1000));
        await world.redis.rejoin(old);
        await world.redis.replicated();
      },
    },
    // The same, with a replica that has not got the last writes: cut off, it asks for them again only once a second.
    lag: {
      weight: 4,
      on: 'several',
      ofRedis: true,
      async run() {
        const old = await world.redis.master();
        await old.client.client('KILL', 'TYPE', 'REPLICA');
        await sleep(between(50, 800));
        await old.kill();
        await world.redis.succeeded(old);
        await world.redisIsBack();
        await world.redis.rejoin(old);
        await world.redis.replicated();
      },
    },
    // The master stands still until a replica has taken its place, and goes on as if nothing had been.
    freeze: {
      weight: 3,
      on: 'several',
      ofRedis: true,
      async run() {
        const old = await world.redis.master();
        old.process.kill('SIGSTOP');
        await world.redis.succeeded(old);
        await world.redisIsBack();
        await sleep(between(0, 3000));
        old.process.kill('SIGCONT');
        await world.redis.replicated();
      },
    },
    // The master hands over to a replica in order.
    switch: {
      weight: 3,
      on: 'several',
      ofRedis: true,
      async run() {
        const old = await world.redis.master();
        await world.redis.handOver();
        await world.redis.succeeded(old);
        await world.redisIsBack();
        await world.redis.replicated();
      },
    },
  };
}

/** One of the faults, each as often as its weight says. */
export function pick(faults, random) {
  const total = Object.values(faults).reduce((sum, { weight }) => sum + weight, 0);
  let left = random() * total;
  for (const [kind, fault] of Object.entries(faults)) {
    left -= fault.weight;
    if (left < 0) return [kind, fault];
  }
}
