// The task of the fault injection. Generates numbers from 1 on for each source until told to stop, and records every start and
// end of a handling in a list of the ledger, a second Redis that no fault touches. Every tenth number fails.
//
// On request it also injects faults from within: it blocks the event loop, makes the wall clock jump, and has
// `generate` throw, hang or return.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { isMeantToFail } from './failing.mjs';

const { LEDGER, INSTANCE_NAME, PACE_MS = '25', SOURCES = '' } = process.env;
const ledger = new Redis(LEDGER, { maxRetriesPerRequest: null });
const orders = new Redis(LEDGER, { maxRetriesPerRequest: null });
for (const client of [ledger, orders]) client.on('error', () => undefined);

const RealDate = Date;
let clockOffset = 0;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + clockOffset);
    else super(...args);
  }

  static now() {
    return RealDate.now() + clockOffset;
  }
};

let stopped = false;
/** What `generate` does instead of generating, and until when on the clock of `performance`. */
let failing = { how: 'not', until: 0 };

const ORDERS = {
  stop: () => (stopped = true),
  jump: (ms) => (clockOffset += ms),
  block(ms) {
    const until = performance.now() + ms;
    while (performance.now() < until);
  },
  throw: (ms) => (failing = { how: 'throw', until: performance.now() + ms }),
  hang: (ms) => (failing = { how: 'hang', until: performance.now() + ms }),
  return: (ms) => (failing = { how: 'return', until: performance.now() + ms }),
};

orders.subscribe('orders', INSTANCE_NAME);
orders.on('message', (_channel, text) => {
  const [order, value] = text.split(' ');
  ORDERS[order](Number(value));
});

/** Enough for some messages to be active, and to fail, after `generate` has failed; of all sources together. */
const BURST = { count: Math.ceil(240 / SOURCES.split(',').length), ms: 25 };
const isFailing = () => performance.now() < failing.until;

export async function* generate({ cursor = 0, source, signal }) {
  for (let last = cursor; !signal.aborted && !stopped;) {
    if (isFailing()) {
      if (last > cursor) {
        const { count, ms } = BURST;
        yield { messages: numbers(last, count).map((n) => ({ n, source, ms })), cursor: (last += count) };
      }
      if (failing.how === 'throw') throw new Error('the upstream is down, as ordered');
      if (failing.how === 'return') return;
      // Ignores its signal.
      await sleep(failing.until - performance.now());
      continue;
    }
    const count = 1 + Math.floor(Math.random() * 12);
    const messages = numbers(last, count).map((n) => ({ n, source }));
    last += count;
    yield { messages, cursor: last };
    await sleep(Math.random() * Number(PACE_MS), undefined, { signal }).catch(() => undefined);
  }
}

const numbers = (after, count) => Array.from({ length: count }, (_, index) => after + 1 + index);

// Moving the cursor repeats numbers, so the ledger identifies messages by their ids.
export async function handle({ n, ms = n % 97 === 0 ? 100 : 0 }, { id }) {
  await ledger.rpush('events', JSON.stringify({ e: 'start', n: Number(id), i: INSTANCE_NAME }));
  if (ms > 0) await sleep(ms);
  await ledger.rpush('events', JSON.stringify({ e: 'end', n: Number(id), i: INSTANCE_NAME }));
  if (isMeantToFail(n)) throw new Error(`number ${n} is meant to fail`);
}
