// Tracks every process that the kit starts, so that none outlives its parent.
const { once } = require('node:events');

/** @type {Set<import('node:child_process').ChildProcess>} */
const living = new Set();

/**
 * @template {import('node:child_process').ChildProcess} Child
 * @param {Child} child
 * @returns {Child}
 */
function track(child) {
  living.add(child);
  child.once('exit', () => living.delete(child));
  child.once('error', () => living.delete(child));
  return child;
}

/** @param {import('node:child_process').ChildProcess} child */
const hasEnded = (child) => child.exitCode !== null || child.signalCode !== null;

/**
 * Kills a process, like a crash; resolves when it is gone.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<void>}
 */
async function killAndWait(child) {
  if (hasEnded(child)) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** For scripts: kills every process when this one ends, except by SIGKILL. */
function killOnExit() {
  process.on('exit', () => {
    for (const child of living) child.kill('SIGKILL');
  });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
    process.on(signal, () => process.exit(1));
}

module.exports = { track, hasEnded, killAndWait, killOnExit };
