import type { Config } from '../configuration/config';
import { sleep } from '../time';
import type { GeneratingTask } from './task';

interface DemoMessage {
  number: number;
  text: string;
}

/**
 * The task that runs without TASK: a numbered message every `intervalMs`, each handled in a random time up to
 * `handleMs`. A share of them fails. It shows the instances at work without any setup.
 */
export function createDemoTask({
  intervalMs,
  handleMs,
  errorRate,
}: Config['demo']): GeneratingTask<DemoMessage, number> {
  return {
    async *generate({ cursor = 0, signal }) {
      if (!Number.isInteger(cursor)) {
        throw new Error(
          `the cursor ${JSON.stringify(cursor)} belongs to another task: run the demo in a separate NAMESPACE`,
        );
      }
      for (let number = cursor + 1; !signal.aborted; number++) {
        yield { messages: [{ number, text: `message ${number}` }], cursor: number };
        await sleep(intervalMs, signal);
      }
    },

    async handle({ text }, { signal, logger }) {
      const takes = Math.round(Math.random() * handleMs);
      await sleep(takes, signal);
      signal.throwIfAborted();
      if (Math.random() < errorRate) throw new Error("meant to fail, as some of the demo's messages are");
      logger.info(`${text} handled`, { ms: takes });
    },
  };
}

/** Explains where the messages come from, and why some fail. */
export function describeDemo({ intervalMs, errorRate }: Config['demo']): string {
  const share = `${Math.round(errorRate * 100)} % of which are meant to fail`;
  return `no TASK is set: this is the demo, a message every ${intervalMs} ms, ${share}`;
}
