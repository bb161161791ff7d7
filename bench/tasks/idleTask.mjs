// A task that does nothing.
// eslint-disable-next-line require-yield
export async function* generate({ signal }) {
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}

export function handle() {}
