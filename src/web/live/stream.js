// The stream of events from this page's instance. Read with fetch and not with EventSource, which keeps to itself why a
// server says no, and gives up for good on some of the reasons.

/** The server lets no longer pass without a word, in milliseconds. */
const LONGEST_SILENCE_MS = 6000;
const PAUSES_MS = [300, 700, 1500, 3000];

/**
 * Follows the stream for as long as the page is looked at, connecting again whenever it ends.
 *
 * @param onFrame told of each frame
 * @param onLost told why there are none, each time that is found out
 */
export async function follow(onFrame, onLost) {
  let failures = 0;
  for (;;) {
    await untilLookedAt();
    let reason;
    try {
      reason = await readOnce((frame) => {
        failures = 0;
        onFrame(frame);
      });
    } catch {
      reason = { kind: 'gone' };
    }
    if (document.visibilityState === 'hidden') continue;
    onLost(reason);
    await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]));
    failures++;
  }
}

/** One connection, to its end. */
async function readOnce(onFrame) {
  const ending = new AbortController();
  // A browser has six connections to one server for all of its tabs together: a tab that is not looked at gives its own up.
  const leave = () => document.visibilityState === 'hidden' && ending.abort();
  document.addEventListener('visibilitychange', leave);
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => ending.abort(), LONGEST_SILENCE_MS);
  };
  heard();
  try {
    // From the origin: a page whose address carries a password may not pass that on.
    const url = new URL('events', location.origin + location.pathname);
    const response = await fetch(url, { signal: ending.signal, cache: 'no-store' });
    if (!response.ok) return { kind: 'refused', status: response.status, text: await response.text() };
    let rest = '';
    for await (const text of chunksOf(response.body.pipeThrough(new TextDecoderStream()))) {
      heard();
      const events = (rest + text).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        if (!event.startsWith('data: ')) continue;
        const frame = JSON.parse(event.slice('data: '.length));
        if (frame.goodbye === true) return { kind: 'goodbye' };
        onFrame(frame);
      }
    }
    return { kind: 'gone' };
  } finally {
    clearTimeout(silence);
    document.removeEventListener('visibilitychange', leave);
    ending.abort();
  }
}

/** Not every browser can iterate a stream. */
async function* chunksOf(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function untilLookedAt() {
  return new Promise((resolve) => {
    if (document.visibilityState !== 'hidden') return resolve();
    document.addEventListener('visibilitychange', () => resolve(), { once: true });
  });
}
