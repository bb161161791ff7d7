// The instance that each of the three servers mounts. It has no port.
import { createInstance } from 'node-instances-communication';

const task = {
  async *generate({ cursor = 0 }) {
    for (let number = cursor + 1; number <= 20; number++) yield { messages: [{ number }], cursor: number };
  },
  handle({ number }) {
    if (number % 10 === 0) throw new Error(`${number} is a round number`);
  },
};

export const instance = createInstance({
  task,
  env: { NAMESPACE: 'mounted', ...process.env, BOARD: 'off' },
});
instance.on('elected', ({ term }) => console.error(`this process generates, term ${term}`));
instance.on('messageFailed', ({ id, error }) => console.error(`message ${id} failed: ${error.message}`));

/** Starts both, and stops both on SIGINT and SIGTERM. */
export async function run(listen, close) {
  const stop = async () => {
    // The instance first: it ends the event streams, for which the server would wait.
    await instance.stop();
    await close();
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stop());
  try {
    await instance.start();
    const address = await listen(Number(process.env.PORT ?? 8080));
    console.error(`listening: http://localhost:${address.port}/nic/`);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
    await stop();
  }
}
