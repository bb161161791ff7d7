// Checks the final state by comparing the data in Redis with the ledger.
import { setTimeout as sleep } from 'node:timers/promises';
import { isMeantToFail } from './failing.mjs';

/** A message whose handler started this many ledger lines before a mark could end after it. */
const LINES_OF_A_HANDLER = 500;

/** @returns {Promise<{ messages: number, failed: number, excused: number, problems: string[] }>} */
export async function verdict({ client, ledger, sources }) {
  const problems = [];
  const report = (what, list) => {
    if (list.length > 0) problems.push(`${list.length} ${what}: ${list.slice(0, 10).join(', ')}`);
  };

  // The committed numbers of each source are 1 to N and those that each cursor move repeats, with ids in the same order.
  const lastId = Number((await client.get('{nic}:messages:id')) ?? 0);
  const expected = await expectedNumbers(ledger, sources);
  const numbers = [];
  const misplaced = [];
  for (let from = 1; from <= lastId; from += 1000) {
    const ids = Array.from({ length: Math.min(1000, lastId - from + 1) }, (_, index) => from + index);
    const pipeline = client.pipeline();
    for (const id of ids) pipeline.hget(`{nic}:messages:${id}`, 'data');
    (await pipeline.exec()).forEach(([, data], index) => {
      const { n, source } = JSON.parse(data ?? '{}');
      numbers[ids[index]] = n;
      if (n === undefined || n !== expected.get(source)?.next()) misplaced.push(ids[index]);
    });
  }
  report('messages lost, doubled or out of order', misplaced);
  for (const { name, keys } of sources) {
    const [generated, cursor] = await client.hmget(keys.cursor, 'generated', 'cursor');
    const { count, last } = expected.get(name);
    if (Number(generated) !== count || Number(JSON.parse(cursor ?? '0')) !== last) {
      const found = `${generated} messages counted, and the cursor is at ${cursor}`;
      problems.push(`${name ?? 'generator'}: ${found}, expected ${count} and ${last}`);
    }
  }

  // Each message is completed or failed, and exactly those that were meant to fail have failed.
  const all = Array.from({ length: lastId }, (_, index) => index + 1);
  const completed = new Set((await client.zrange('{nic}:messages:completed', 0, -1)).map(Number));
  const failed = new Set((await client.zrange('{nic}:messages:failed', 0, -1)).map(Number));
  const recorded = new Set((await client.hkeys('{nic}:errors')).map(Number));
  report(
    'messages neither completed nor failed',
    all.filter((n) => !completed.has(n) && !failed.has(n)),
  );
  report(
    'messages completed that should have failed, or the reverse',
    all.filter((id) => failed.has(id) !== isMeantToFail(numbers[id])),
  );
  report(
    'errors not as what failed',
    all.filter((n) => failed.has(n) !== recorded.has(n)),
  );

  const { excused, inexcusable } = await doubleHandlings(ledger, all.length);
  report('messages never handled', inexcusable.never);
  report('messages handled twice without cause', inexcusable.twice);
  return { messages: lastId, failed: failed.size, excused, problems };
}

/** Waits until nothing is left to handle or to record. */
export async function untilProcessed(world, longestMs = 40_000) {
  const { client, problems } = world;
  // Do not wait after a violation has been found.
  const patienceMs = problems.length > 0 ? 10_000 : longestMs;
  const giveUpAt = performance.now() + patienceMs;
  for (let calm = 0; calm < 5;) {
    await sleep(200);
    const [waiting, active, delayed, failed, recorded] = await Promise.all([
      client.llen('{nic}:messages:wait'),
      client.llen('{nic}:messages:active'),
      client.zcard('{nic}:messages:delayed'),
      client.zcard('{nic}:messages:failed'),
      client.hlen('{nic}:errors'),
    ]);
    calm = waiting + active + delayed === 0 && failed === recorded ? calm + 1 : 0;
    if (performance.now() < giveUpAt) continue;
    const left = `${waiting} wait, ${active} active, ${failed} failed, ${recorded} recorded`;
    world.violation(`not done after ${patienceMs / 1000} s: ${left}`);
    return;
  }
}

/** Maps each source to its numbers in the order in which they must be: consecutive, except where the cursor was moved. */
async function expectedNumbers(ledger, sources) {
  const lines = await ledger.lrange('events', 0, -1);
  const moves = lines.filter((line) => line.includes('"move"')).map((line) => JSON.parse(line));
  return new Map(
    sources.map(({ name }) => [name, new Numbers(moves.filter(({ source }) => source === name))]),
  );
}

class Numbers {
  #moves;
  count = 0;
  last = 0;

  constructor(moves) {
    this.#moves = moves;
    this.#follow();
  }

  next() {
    this.count++;
    const n = ++this.last;
    this.#follow();
    return n;
  }

  /** Follows the moves from where the numbers are now. */
  #follow() {
    while (this.#moves[0]?.from === this.last) this.last = this.#moves.shift().to;
  }
}

/**
 * Finds messages that were handled more than once without a fault of the earlier handler or Redis as excuse. Most
 * faults excuse nothing: see faults/faults.mjs.
 */
async function doubleHandlings(ledger, total) {
  const starts = new Map();
  const faults = new Map();
  let confirmed = 0;
  const length = await ledger.llen('events');
  for (let from = 0; from < length; from += 10_000) {
    const lines = await ledger.lrange('events', from, from + 9999);
    lines.forEach((line, index) => {
      const { e, n, i, id, ...event } = JSON.parse(line);
      const at = from + index;
      if (e === 'start') starts.set(n, [...(starts.get(n) ?? []), { at, i }]);
      // A lost master can take along what its replica had not confirmed.
      const lostLines = at - confirmed + LINES_OF_A_HANDLER;
      const fault = { ...event, id, at, until: Infinity, lostLines };
      if (e === 'fault') faults.set(i, [...(faults.get(i) ?? []), fault]);
      if (e === 'healed') faults.get(i).find((fault) => fault.id === id).until = at;
      if (e === 'replicated') confirmed = event.upTo;
    });
  }
  const struck = (fault, { at }, next, linesBefore = 0) =>
    fault.at < next.at && at > fault.at - linesBefore && at < fault.until;
  const isExcused = (earlier, later) => {
    const ofRedis = faults.get('redis') ?? [];
    return (
      [...(faults.get(earlier.i) ?? []), ...ofRedis].some(
        (fault) => fault.excuses && struck(fault, earlier, later, Infinity),
      ) ||
      // A lost master can take along that a message was handled, or the message itself.
      ofRedis.some((fault) => fault.losesWrites && struck(fault, earlier, later, fault.lostLines))
    );
  };

  let excused = 0;
  const inexcusable = { never: [], twice: [] };
  for (let n = 1; n <= total; n++) {
    const handlings = starts.get(n) ?? [];
    if (handlings.length === 0) inexcusable.never.push(n);
    for (let index = 1; index < handlings.length; index++) {
      const [earlier, later] = [handlings[index - 1], handlings[index]];
      if (isExcused(earlier, later)) excused++;
      else inexcusable.twice.push(`${n} (by ${earlier.i}, then ${later.i})`);
    }
  }
  return { excused, inexcusable };
}
