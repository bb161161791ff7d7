// The cost of idle instances, and whether a crash of the generator causes a stampede.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bullmq } from '../contenders/contenders.mjs';
import { openGroup } from '../measuring/group.mjs';
import { openServer } from '../measuring/server.mjs';
import { cpuSeconds, residentMb } from '../../testkit/proc.cjs';
import { figure, table } from '../reporting/figures.mjs';

/** A worker of BullMQ alone, to compare with: on a server of its own, so that its commands are not counted. */
async function idleWorker() {
  const server = await openServer();
  const { pid, stop } = await bullmq.start(server, 'handle', { warmUp: 1, count: 1 }, () => undefined);
  return { pid, stop: async () => (await stop(), server.close()) };
}

export async function atRest({ server, rounds, quick, progress }) {
  const worker = await idleWorker();
  const group = openGroup(server.client, {
    REDISURL: server.url,
    TASK: resolve(import.meta.dirname, '../tasks/idleTask.mjs'),
  });
  const [windowMs, settleMs] = quick ? [2000, 1000] : [10_000, 10_000];
  const figures = [];
  // The first one becomes the leader and stays it.
  let leaderAlone;
  for (const count of quick ? [1, 10] : [1, 10, 50]) {
    progress.say(`at rest: ${count} ${count === 1 ? 'instance' : 'instances'}`);
    while (group.instances.size < count) {
      group.start();
      // Not all at once: fifty starts on two cores would be slow, and some would time out.
      if (group.instances.size % 4 === 0) await group.present();
    }
    await group.present();
    const { instance } = await group.leading();
    await sleep(settleMs);
    const windows = [];
    for (let n = 0; n < rounds; n++)
      windows.push(await watch(server, group, { leader: instance, worker }, windowMs));
    const of = (field) => windows.map((each) => each[field]);
    if (count === 1) leaderAlone = of('commands');
    figures.push(...rowsOf(count, of, leaderAlone));
  }
  if (!quick) figures.push(await stampede(group, 10, progress));
  const memory = await memoryOf(server, group, { worker, settleMs });
  await Promise.all([group.killAll(), worker.stop()]);
  const about =
    `Instances with nothing to do, over ${rounds} times ${windowMs / 1000} s. Commands are those that Redis executed, ` +
    'within scripts too; those of the leader alone are taken off before the rest is shared among the followers.';
  return [table('At rest', about, figures), memory];
}

function rowsOf(count, of, leaderAlone) {
  const redis = { 'Redis CPU %': of('redisPercent') };
  if (count === 1) {
    return [
      figure('rest.leader.commands', 'the leader alone', 'commands/s', of('commands'), { also: redis }),
      figure('rest.leader.cpu', 'the leader alone', '% of a core', of('leaderPercent')),
      figure('rest.bullmq.cpu', 'BullMQ alone: a worker', '% of a core', of('workerPercent')),
    ];
  }
  const others = count - 1;
  const perFollower = of('commands').map((n, round) => (n - leaderAlone[round]) / others);
  return [
    figure(`rest.${count}.commands`, `each follower of ${count} instances`, 'commands/s', perFollower, {
      also: redis,
    }),
    figure(
      `rest.${count}.cpu`,
      `each follower of ${count} instances`,
      '% of a core',
      of('followersPercent').map((n) => n / others),
    ),
  ];
}

/** Measures the cost of `ms` idle milliseconds. */
async function watch(server, group, { leader, worker }, ms) {
  const pids = [...group.instances].filter(([name]) => name !== leader).map(([, each]) => each.process.pid);
  const look = async () => ({
    calls: Object.values(await server.commandStats()).reduce((sum, { calls }) => sum + calls, 0),
    leader: cpuSeconds(group.instances.get(leader).process.pid),
    followers: cpuSeconds(...pids),
    worker: cpuSeconds(worker.pid),
    redis: server.cpuSeconds(),
    at: performance.now(),
  });
  const before = await look();
  await sleep(ms);
  const after = await look();
  const seconds = (after.at - before.at) / 1000;
  const percent = (name) => ((after[name] - before[name]) / seconds) * 100;
  return {
    commands: (after.calls - before.calls) / seconds,
    leaderPercent: percent('leader'),
    followersPercent: percent('followers'),
    workerPercent: percent('worker'),
    redisPercent: percent('redis'),
  };
}

/** Kills the leader repeatedly; throws unless there is exactly one successor each time. */
async function stampede(group, kills, progress) {
  const times = [];
  const count = group.instances.size;
  for (let kill = 0; kill < kills; kill++) {
    progress.say(`at rest: the generator of ${count} instances crashes, ${kill + 1} of ${kills}`);
    const { instance, term } = await group.leading();
    const startedAt = performance.now();
    group.take(instance).signal('SIGKILL');
    await group.until(async () => (await group.state()).term > term, 2);
    times.push(performance.now() - startedAt);
    await sleep(2000);
    const successors = (await group.state()).term - term;
    if (successors !== 1) throw new Error(`${successors} instances took over from one, expected 1`);
  }
  return figure('rest.stampede', `the leader of ${count} killed: next term after`, 'ms', times);
}

/** Measures the memory of an idle instance, without and with the board, and of BullMQ alone. */
async function memoryOf(server, group, { worker, settleMs }) {
  const withBoard = openGroup(server.client, {
    REDISURL: server.url,
    NAMESPACE: 'board',
    TASK: resolve(import.meta.dirname, '../tasks/idleTask.mjs'),
    BOARD: 'on',
    BOARD_PORT: '0',
  });
  const instance = withBoard.start();
  await withBoard.leading();
  // The board is loaded soon after.
  await sleep(1000 + settleMs);
  const { instance: leader } = await group.leading();
  const resident = [...group.instances].map(([name, each]) => ({ name, mb: residentMb(each.process.pid) }));
  const [board, bullmqAlone] = [residentMb(instance.process.pid), residentMb(worker.pid)];
  await withBoard.killAll();
  const followers = resident.filter(({ name }) => name !== leader).map(({ mb }) => mb);
  return table('Resident memory of an instance at rest', `After ${settleMs / 1000} s and more.`, [
    figure('memory.follower', 'a follower, BOARD=off', 'MB', followers),
    figure('memory.leader', 'the leader, BOARD=off', 'MB', [resident.find(({ name }) => name === leader).mb]),
    figure('memory.board', 'a leader with the board', 'MB', [board]),
    figure('memory.bullmq', 'BullMQ alone: a worker', 'MB', [bullmqAlone]),
  ]);
}
