// Always generates more messages than can be handled, and does nothing with them.
export async function* generate({ cursor = 0, signal }) {
  for (let number = cursor; !signal.aborted;) {
    const messages = Array.from({ length: 500 }, () => ({ number: ++number }));
    yield { messages, cursor: number };
  }
}

export function handle() {}
