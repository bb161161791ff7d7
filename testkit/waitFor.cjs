const { setTimeout: sleep } = require('node:timers/promises');

/**
 * Polls until a value is neither false, undefined nor null, and resolves with it. For state without events, such
 * as data in Redis.
 *
 * @template T
 * @param {() => Promise<T | false | undefined | null> | T | false | undefined | null} look
 * @param {string} what for the error message
 * @param {number} [timeoutMs]
 * @param {number} [intervalMs]
 * @returns {Promise<T>}
 */
async function waitFor(look, what, timeoutMs = 30_000, intervalMs = 20) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== false && value !== undefined && value !== null) return value;
    if (performance.now() > deadline) throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`);
    await sleep(intervalMs);
  }
}

module.exports = { waitFor };
