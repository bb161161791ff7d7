// Faults of the master of a Sentinel or Cluster setup. Writes that its replica has not received are lost.
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
      // It is killed, a replica takes its place, and the old master is restarted as a replica.
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
      // The same with a replica that lacks the last writes: after a disconnect it retries only once a second.
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
      // It is paused until a replica has taken its place, and then resumed.
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
      // It hands over to a replica (a planned failover).
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
