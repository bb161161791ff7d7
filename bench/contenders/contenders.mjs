// The contenders, and how each queue is filled (before anything is measured) and each contender started.
import { resolve } from 'node:path';
import { openGroup } from '../measuring/group.mjs';
import { startProgram } from '../../testkit/instances.cjs';

const here = import.meta.dirname;
const CHILD = resolve(here, 'child.mjs');
const INSTRUMENTED = resolve(here, '../tasks/instrumentedTask.mjs');
const HOLDING = resolve(here, '../tasks/holdingTask.mjs');
const IDLE = resolve(here, '../tasks/idleTask.mjs');

/** A contender whose code is a separate file, here or among the peers. */
function program(name, label, file = resolve(here, `${name}.mjs`)) {
  return {
    name,
    label,
    async fill(server, settings) {
      await (await import(file)).fill({ ...settings, port: server.port });
    },
    async start(server, role, settings, onMessage) {
      const args = JSON.stringify({ ...settings, port: server.port });
      const child = startProgram([CHILD, file, role, args], {}, { onMessage });
      const stop = () => (child.signal('SIGKILL'), child.exited);
      return { pid: child.process.pid, exited: child.exited, stop };
    },
  };
}

/** A similar library: see ../peers/install.mjs. */
function peer(name, label) {
  return { ...program(name, label, resolve(here, `../peers/${name}.mjs`)), isPeer: true };
}

/** Ratios are taken against it. */
export const bullmq = program('bullmq', 'BullMQ alone');
const tuned = program('bullmqTuned', "BullMQ with an instance's options");
const list = program('list', 'reliable list (BLMOVE, LREM)');
const floor = program('floor', 'the floor (empty EVALSHA)');
const bull = peer('bull', 'Bull');
const beeQueue = peer('beeQueue', 'bee-queue');

/**
 * An instance. One that follows has a leader elsewhere, which generates and handles nothing, and only listens. One with
 * company leads, while the other one, which cannot, is the keeper and holds one message as long as it lives.
 */
function instance(name, label, { follows = false, company = false, env = {} } = {}) {
  return {
    name,
    label,
    fill: bullmq.fill,
    async start(server, role, { concurrency = 1, ...settings }, onMessage) {
      const group = openGroup(server.client, { REDISURL: server.url });
      if (follows) {
        group.start({ TASK: IDLE, GENERATOR_HANDLES: 'false' });
        await group.leading();
      }
      if (company) {
        group.start({ TASK: HOLDING, CAN_GENERATE: 'false' });
        await group.keeping();
      }
      const { exited } = group.start(
        {
          TASK: INSTRUMENTED,
          BENCH: JSON.stringify({ [role]: settings }),
          CONCURRENCY: String(concurrency),
          // Until the end of a measurement, nobody handles the generated messages.
          ...(role === 'generate' && { GENERATOR_HANDLES: 'false', MAX_BACKLOG: '1000000000' }),
          ...env,
        },
        { onMessage },
      );
      return { exited, stop: () => group.killAll() };
    },
  };
}

const leader = instance('leader', 'instance, alone');
const leaderOfTwo = instance('leaderOfTwo', 'instance, as leader of two', { company: true });
export const follower = instance('follower', 'instance, as follower', { follows: true });
export const generator = instance('generator', 'instance, as generator');
const withBoard = instance('withBoard', 'instance, as follower, with the board', {
  follows: true,
  env: { BOARD: 'on', BOARD_PORT: '0' },
});

export const HANDLERS = [
  leader,
  leaderOfTwo,
  follower,
  withBoard,
  bullmq,
  tuned,
  bull,
  beeQueue,
  list,
  floor,
];
