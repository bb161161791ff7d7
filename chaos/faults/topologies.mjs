// What happens to the master of a Sentinel or Cluster set-up. What its replica had not got yet is gone.
import { setTimeout as sleep } from 'node:timers/promises';

export function topologyFaults(world, random) {
  const { topology } = world.subject;
  const common = { scope: 'redis', modes: ['sentinel', 'cluster'], excuses: () => false, losesWrites: true };

  async function succession(old) {
    await topology.succeeded(old);
    await world.redisIsBack();
  }
  return [
    {
      ...common,
      // It dies, a replica takes its place, and what is left of the old one becomes a replica.
      kind: 'failover',
      weight: 4,
      async inject() {
        const old = await topology.master();
        await old.kill();
        await succession(old);
        await sleep(random.between(0, 1000));
        await topology.rejoin(old);
        await topology.replicated();
      },
    },
    {
      ...common,
      // The same, with a replica that has not got the last writes: cut off, it asks for them again only once a second.
      kind: 'lag',
      weight: 4,
      async inject() {
        const old = await topology.master();
        await old.client.client('KILL', 'TYPE', 'REPLICA');
        await sleep(random.between(50, 800));
        await old.kill();
        await succession(old);
        await topology.rejoin(old);
        await topology.replicated();
      },
    },
    {
      ...common,
      // It stands still until a replica has taken its place, and goes on as if nothing had been.
      kind: 'freeze',
      weight: 3,
      async inject() {
        const old = await topology.master();
        old.pause();
        await succession(old);
        await sleep(random.between(0, 3000));
        old.resume();
        await topology.replicated();
      },
    },
    {
      ...common,
      // It hands over to a replica in order.
      kind: 'switch',
      weight: 3,
      async inject() {
        const old = await topology.master();
        await topology.handOver();
        await succession(old);
        await topology.replicated();
      },
    },
  ];
}
