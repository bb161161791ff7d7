import { setTimeout as sleep } from 'node:timers/promises';
import { batchLimits, encodeBatch, type EncodedBatch } from '../../src/generating/batch';
import type { CommitResult } from '../../src/generating/committer';
import { generateMessages, type GeneratorOptions } from '../../src/generating/generator';
import type { Position } from '../../src/generating/position';
import { silentLogger } from '../helpers/silentLogger';

/** Commits after `tookMs` into `committed`; `refusals` are returned first. */
function fakeCommitter(tookMs = 0, refusals: CommitResult[] = []) {
  const committed: [number[], unknown][] = [];
  let position: Position = { generated: 0, cursorJson: undefined };
  return {
    committed,
    position: () => Promise.resolve(position),
    async commit(from: Position, { messages, cursorJson }: EncodedBatch): Promise<CommitResult> {
      await sleep(tookMs);
      const refusal = refusals.shift();
      if (refusal !== undefined) return refusal;
      expect(from).toEqual(position);
      committed.push([messages.map((message) => JSON.parse(message) as number), JSON.parse(cursorJson)]);
      position = { generated: from.generated + messages.length, cursorJson };
      return { outcome: 'committed', position };
    },
  };
}

async function* oneByOne(last: number, failsAfter = Infinity) {
  for (let n = 1; n <= last; n++) {
    yield { messages: [n], cursor: n };
    if (n === failsAfter) throw new Error('the upstream is gone');
    // Yield to other tasks, as a read would.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const run = (task: GeneratorOptions['task'], committer: ReturnType<typeof fakeCommitter>, more = {}) =>
  generateMessages({
    ...{ task, committer, signal: new AbortController().signal, logger: silentLogger },
    ...more,
  });
const flat = ({ committed }: ReturnType<typeof fakeCommitter>) => committed.flatMap(([messages]) => messages);
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

it('without groupCommits, generate resumes after a yield only when the batch is committed', async () => {
  const committer = fakeCommitter(1);
  const seen: number[] = [];
  await run(
    {
      async *generate() {
        for await (const batch of oneByOne(5)) {
          yield batch;
          seen.push(committer.committed.length);
        }
      },
    },
    committer,
  );
  expect(seen).toEqual([1, 2, 3, 4, 5]);
});

it('with groupCommits, batches yielded during a commit are committed together, with the last cursor', async () => {
  const committer = fakeCommitter(20);
  await run({ generate: () => oneByOne(200), groupCommits: true }, committer, { commitMaxMessages: 50 });
  expect(flat(committer)).toEqual(upTo(200));
  const sizes = committer.committed.map(([messages]) => messages.length);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(50);
  expect(committer.committed.length).toBeLessThan(20);
  for (const [messages, cursor] of committer.committed) expect(cursor).toBe(messages.at(-1));
});

it('with groupCommits, batches yielded before an error are committed before it is thrown', async () => {
  const committer = fakeCommitter(20);
  const failing = run({ generate: () => oneByOne(10, 7), groupCommits: true }, committer);
  await expect(failing).rejects.toThrow('the upstream is gone');
  await expect(failing).rejects.toMatchObject({ stack: expect.stringContaining('oneByOne') as string });
  expect(flat(committer)).toEqual(upTo(7));
});

it('a batch that is not committed because generation is paused or the backlog is full is committed later', async () => {
  const committer = fakeCommitter(0, [
    { outcome: 'paused', pause: {} },
    { outcome: 'paused', pause: {} },
    { outcome: 'full' },
  ]);
  await run({ generate: () => oneByOne(3) }, committer);
  expect(flat(committer)).toEqual([1, 2, 3]);
});

it('the end of the term ends the wait while the group is paused', async () => {
  const stop = new AbortController();
  const paused = Array.from({ length: 100 }, () => ({ outcome: 'paused' as const, pause: {} }));
  const committer = fakeCommitter(0, paused);
  setTimeout(() => stop.abort(), 50);
  await run({ generate: () => oneByOne(300), groupCommits: true }, committer, { signal: stop.signal });
  expect(committer.committed).toEqual([]);
});

it('generate receives its source', async () => {
  let context: object | undefined;
  const generate = (given: object) => {
    context = given;
    return oneByOne(0);
  };
  await run({ generate }, fakeCommitter(), { source: 'left' });
  expect(context).toMatchObject({ source: 'left' });
});

it('a batch that could not be committed within the lease is refused with the maximum size', () => {
  const encode = (messages: unknown[], leaseTtlMs: number) =>
    encodeBatch({ messages, cursor: 1 }, batchLimits(leaseTtlMs));
  expect(() => encode(new Array(50_001).fill(0), 5000)).toThrow(
    /a batch has 50001 messages, expected at most 50000 messages .*LEASE_TTL_MS.*smaller batches/,
  );
  expect(encode(new Array(50_000).fill(0), 30_000).messages).toHaveLength(50_000);
  expect(() => encode(new Array(3001).fill(0), 300)).toThrow(/at most 3000 messages/);
  expect(() => encode(['x'.repeat(4_000_000)], 300)).toThrow(/more than 3840000 characters/);
});
