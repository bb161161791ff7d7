// Requests to the instance that serves this page, relative to its address: the page can be mounted under a path.

/** Based on the origin, because fetch rejects a URL that contains a password, as the page's own might. */
export const address = (path) => new URL(path, location.origin + location.pathname);

/** Returns the response, or, if there is none, the reason as `problem`. */
export async function get(path) {
  return answerOf(() => fetch(address(path), { cache: 'no-store' }));
}

export async function post(path, body) {
  const init = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  };
  return answerOf(() => fetch(address(path), init));
}

async function answerOf(ask) {
  try {
    const response = await ask();
    return response.ok ? { answer: await response.json() } : { problem: await response.text() };
  } catch {
    return { problem: 'the instance that serves this page does not answer.' };
  }
}
