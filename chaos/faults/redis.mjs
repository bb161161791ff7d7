// Faults of a single Redis: it is down, is paused, or refuses commands.
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ANY_LENGTH, outlastsLock } from './lengths.mjs';

/** Each makes Redis refuse commands, and returns a function that makes it accept them again. */
export function refusalsOf(world) {
  const config = (name, value) => world.client.config('SET', name, value);

  return {
    async outOfMemory() {
      await config('maxmemory', '1');
      return () => config('maxmemory', '0');
    },
    async noReplicas() {
      await config('min-replicas-to-write', '1');
      return () => config('min-replicas-to-write', '0');
    },
    async readOnly() {
      await world.client.replicaof('127.0.0.1', 1);
      return () => world.client.replicaof('NO', 'ONE');
    },
    // MISCONF: the last save has failed.
    async saveFails() {
      const directory = (await world.client.config('GET', 'dir'))[1];
      const gone = mkdtempSync(join(tmpdir(), 'nic-gone-'));
      await config('dir', gone);
      rmdirSync(gone);
      await config('save', '3600 1');
      await world.client.bgsave().catch(() => undefined);
      return async () => {
        await config('save', '');
        await config('dir', directory);
      };
    },
    async maxClients() {
      await config('maxclients', '1');
      await world.client.client('KILL', 'TYPE', 'normal');
      await world.client.client('KILL', 'TYPE', 'pubsub');
      return () => config('maxclients', '10000');
    },
    // BUSY: a script does not end.
    async busyScript() {
      await config('busy-reply-threshold', '50');
      const other = world.client.duplicate();
      other.eval('while true do end', 0).catch(() => undefined);
      return async () => {
        while ((await world.client.script('KILL').catch((error) => error.message)) !== 'OK') await sleep(20);
        other.disconnect();
        // Redis can still be busy for a moment after it has answered OK.
        const threshold = () => config('busy-reply-threshold', '5000').catch(() => undefined);
        while ((await threshold()) !== 'OK') await sleep(20);
      };
    },
    // NOAUTH: the password has been changed, and all connections are closed.
    async password() {
      await config('requirepass', 'other');
      await world.client.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await world.client.client('KILL', 'TYPE', 'pubsub');
      return () => config('requirepass', '');
    },
    // NOPERM: nobody may subscribe or publish. Redis closes the connections that are subscribed.
    async noChannels() {
      await world.client.acl('SETUSER', 'default', 'resetchannels');
      return () => world.client.acl('SETUSER', 'default', 'allchannels');
    },
  };
}

export function redisFaults(world, random) {
  const common = {
    scope: 'redis',
    modes: ['single', 'network'],
    length: ANY_LENGTH,
    excuses: outlastsLock,
    weight: 1,
  };
  const REFUSALS = refusalsOf(world);
  const refusals = Object.entries(REFUSALS).map(([kind, refuse]) => ({
    ...common,
    kind,
    async inject(_, ms) {
      const accept = await refuse();
      await sleep(ms);
      await accept();
      await world.redisIsBack();
    },
  }));

  return [
    ...refusals,
    {
      ...common,
      // It is killed and restarted, with everything that it had acknowledged.
      kind: 'redisDown',
      weight: 3,
      async inject(_, ms) {
        await world.subject.server.kill();
        await sleep(ms);
        await world.subject.server.restart();
        await world.redisIsBack();
      },
    },
    {
      ...common,
      kind: 'redisPaused',
      weight: 2,
      async inject(_, ms) {
        world.subject.server.pause();
        await sleep(ms);
        world.subject.server.resume();
        await world.redisIsBack();
      },
    },
    {
      ...common,
      kind: 'clientPause',
      detail: (draw) => draw.oneOf(['ALL', 'WRITE']),
      async inject(_, ms, what) {
        await world.client.client('PAUSE', ms, what);
        await sleep(ms);
        await world.redisIsBack();
      },
    },
    {
      ...common,
      // It refuses commands for some milliseconds, repeatedly.
      kind: 'refusalSpells',
      weight: 2,
      length: [1000, 4000],
      excuses: () => false,
      detail: (draw) => draw.oneOf(['outOfMemory', 'noReplicas']),
      async inject(_, ms, kind) {
        const until = performance.now() + ms;
        while (performance.now() < until) {
          const accept = await REFUSALS[kind]();
          await sleep(random.between(0, 8));
          await accept();
          await sleep(random.between(5, 30));
        }
      },
    },
  ];
}
