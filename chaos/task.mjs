// The task of the fault injection. Generates the numbers from 1 on until told to stop, and writes every beginning and
// end of a handling into one list of the ledger, a second Redis that no fault touches. Every 50th number fails.
//
// It also does what can only be done from within: blocks the event loop, and makes the wall clock jump.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

const { LEDGER, INSTANCE_NAME } = process.env;
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
orders.subscribe('orders', INSTANCE_NAME);
orders.on('message', (_channel, text) => {
  const [order, value] = text.split(' ');
  if (order === 'stop') stopped = true;
  if (order === 'jump') clockOffset += Number(value);
  if (order === 'block') {
    const until = performance.now() + Number(value);
    while (performance.now() < until);
  }
});

export async function* generate({ cursor = 0, signal }) {
  for (let last = cursor; !signal.aborted && !stopped;) {
    const count = 1 + Math.floor(Math.random() * 12);
    const messages = Array.from({ length: count }, (_, index) => ({ n: last + 1 + index }));
    last += count;
    yield { messages, cursor: last };
    await sleep(Math.random() * 25, undefined, { signal }).catch(() => undefined);
  }
}

export async function handle({ n }) {
  await ledger.rpush('events', JSON.stringify({ e: 'start', n, i: INSTANCE_NAME }));
  if (n % 97 === 0) await sleep(100);
  await ledger.rpush('events', JSON.stringify({ e: 'end', n, i: INSTANCE_NAME }));
  if (n % 50 === 0) throw new Error(`number ${n} fails, as every 50th does`);
}
