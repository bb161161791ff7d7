import { setTimeout as sleep } from 'node:timers/promises';
import { type Activity, Supervisor } from '../../src/supervision/supervisor';
import { aborted } from '../../src/time';
import { silentLogger } from '../helpers/silentLogger';
import { waitFor } from '../helpers/waitFor';

let reachable: boolean;
let supervisor: Supervisor;

beforeEach(() => {
  reachable = true;
  supervisor = new Supervisor({ canProgress: () => reachable, logger: silentLogger });
});

afterEach(() => supervisor.stop());

const never = () => new Promise<void>(() => undefined);

it('restarts an activity that ends or throws, with growing pauses', async () => {
  const starts: number[] = [];
  const run = () => {
    starts.push(performance.now());
    return starts.length === 2 ? Promise.resolve() : Promise.reject(new Error('no'));
  };
  supervisor.start({ name: 'a', run });
  await waitFor(() => starts.length >= 4, 'restarts');
  const pauses = starts.slice(1).map((at, index) => at - starts[index]!);
  expect(pauses[0]).toBeLessThan(pauses[2]!);
});

it('abandons a run that makes no progress, and ignores it afterwards', async () => {
  const runs: Activity[] = [];
  const run = (activity: Activity) => {
    runs.push(activity);
    activity.progress();
    return never();
  };
  supervisor.start({ name: 'stuck', run, stallAfterMs: 300 });
  await waitFor(() => supervisor.stalled.length > 0 || runs.length > 1, 'the stall');
  await waitFor(() => runs.length > 1, 'the restart');
  expect(runs[0]!.signal.aborted).toBe(true);
  expect(runs[1]!.signal.aborted).toBe(false);
  runs[0]!.progress();
  await waitFor(
    () => supervisor.stalled.some(({ name }) => name === 'stuck') || runs.length > 2,
    'the next stall',
  );
});

it('gives each run more time after one without progress, so that slow starts succeed eventually', async () => {
  let runs = 0;
  let isUp = false;
  const run = async ({ signal, progress }: Activity) => {
    runs++;
    await sleep(700, undefined, { signal }).catch(() => undefined);
    isUp ||= !signal.aborted;
    progress();
    await aborted(signal);
  };
  supervisor.start({ name: 'slow to start', run, stallAfterMs: 250 });
  await waitFor(() => isUp, 'a run that is up', 8000);
  expect(runs).toBeGreaterThan(1);
});

it('counts nothing as stalled while Redis is unreachable, nor right after', async () => {
  let runs = 0;
  supervisor.start({ name: 'a', run: () => (runs++, never()), stallAfterMs: 300 });
  reachable = false;
  const watching = setInterval(() => void supervisor.stalled, 50);
  await sleep(1200);
  expect(supervisor.stalled).toEqual([]);
  expect(runs).toBe(1);
  reachable = true;
  expect(supervisor.stalled).toEqual([]);
  await waitFor(() => runs > 1, 'the restart');
  clearInterval(watching);
});

it('does not count the time for which the event loop was blocked, or the process stopped', async () => {
  let runs = 0;
  let steps = 0;
  const run = async ({ signal, progress }: Activity) => {
    runs++;
    while (!signal.aborted) {
      await sleep(800);
      progress();
      steps++;
    }
  };
  supervisor.start({ name: 'a', run, stallAfterMs: 1000 });
  await waitFor(() => steps > 0, 'the first step');
  const until = performance.now() + 1500;
  while (performance.now() < until);
  // A readiness check asks Redis first.
  await sleep(1);
  const { stalled } = supervisor;
  await waitFor(() => steps > 1, 'the next step');
  expect({ stalled, runs }).toEqual({ stalled: [], runs: 1 });
});

it('ends an activity through its own signal and does not restart it', async () => {
  const over = new AbortController();
  let runs = 0;
  supervisor.start({ name: 'a', run: ({ signal }) => (runs++, aborted(signal)), signal: over.signal });
  await waitFor(() => runs === 1, 'the start');
  over.abort();
  await waitFor(() => supervisor.names.length === 0, 'the end');
  await sleep(300);
  expect(runs).toBe(1);
});

it('stops within its deadline although an activity never ends', async () => {
  supervisor.start({ name: 'hanging', run: never });
  await sleep(10);
  const startedAt = performance.now();
  await supervisor.stop();
  expect(performance.now() - startedAt).toBeLessThan(2500);
});
