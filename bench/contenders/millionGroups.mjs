// The two groups that handle the million, each with one generating and three handling processes.
import { resolve } from 'node:path';
import { openGroup } from '../measuring/group.mjs';
import { startProgram } from '../../testkit/instances.cjs';

const here = import.meta.dirname;
const HANDLERS = 3;
const NODE_ARGS = ['--expose-gc'];

/** Four instances; the one that is elected handles nothing itself. */
export async function startInstances(server, { total, batch }) {
  const group = openGroup(server.client, {
    REDISURL: server.url,
    TASK: resolve(here, '../tasks/millionTask.mjs'),
    BENCH: JSON.stringify({ total, batch }),
    GENERATOR_HANDLES: 'false',
  });
  const options = { nodeArgs: NODE_ARGS, onMessage: () => undefined };
  const generator = group.start({}, options);
  await group.leading();
  const handlers = Array.from({ length: HANDLERS }, () => group.start({}, options));
  await group.present();
  return {
    generator: generator.process,
    handlers: handlers.map((handler) => handler.process),
    stop: () => group.killAll(),
  };
}

/** A producer and three workers of plain BullMQ. */
export async function startBullmq(server, settings) {
  const file = resolve(here, 'bullmq.mjs');
  const args = JSON.stringify({ ...settings, port: server.port });
  const start = async (role) => {
    let ready;
    const isReady = new Promise((done) => (ready = done));
    const onMessage = ({ event }) => event === 'ready' && ready();
    const command = [...NODE_ARGS, resolve(here, 'child.mjs'), file, role, args];
    const program = startProgram(command, {}, { onMessage });
    await isReady;
    return program;
  };
  const programs = await Promise.all([
    start('produce'),
    ...Array.from({ length: HANDLERS }, () => start('consume')),
  ]);
  const [generator, ...handlers] = programs.map((program) => program.process);
  return {
    generator,
    handlers,
    async stop() {
      for (const program of programs) program.signal('SIGKILL');
      await Promise.all(programs.map(({ exited }) => exited));
    },
  };
}
