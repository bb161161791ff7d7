// A task without anything to do.
// eslint-disable-next-line require-yield
export async function* generate({ signal }) {
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}

export function handle() {}
