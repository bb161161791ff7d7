// The event stream of the instance that serves this page. It uses fetch, because EventSource hides why a server refused
// the connection, and for some reasons gives up permanently.
import { address } from './request.js';

/** The server sends a frame at least this often, in milliseconds. */
const MAX_SILENCE_MS = 6000;
const PAUSES_MS = [300, 700, 1500, 3000];

/**
 * Follows the stream while the page is visible, and reconnects whenever it ends.
 *
 * @param onFrame called with each frame
 * @param onLost called with the reason each time a connection ends or fails
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

/** Reads one connection to its end, and returns why it ended. */
async function readOnce(onFrame) {
  const ending = new AbortController();
  // A browser opens at most six connections to a server, for all tabs together: a hidden tab closes its own.
  const leave = () => document.visibilityState === 'hidden' && ending.abort();
  document.addEventListener('visibilitychange', leave);
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => ending.abort(), MAX_SILENCE_MS);
  };
  heard();
  try {
    const response = await fetch(address('events'), { signal: ending.signal, cache: 'no-store' });
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

/** Not every browser supports async iteration of streams. */
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
