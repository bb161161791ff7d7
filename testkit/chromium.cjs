// CommonJS, so that the tests and the scripts can both load it.
const { accessSync, constants } = require('node:fs');
const { delimiter, join } = require('node:path');

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/**
 * Finds Chromium: CHROMIUM_PATH, or one on PATH; undefined if there is none.
 *
 * @param {Record<string, string | undefined>} env
 * @returns {string | undefined}
 */
function findChromium(env) {
  if (env.CHROMIUM_PATH) return env.CHROMIUM_PATH;
  const directories = (env.PATH ?? '').split(delimiter).filter(Boolean);
  return directories.flatMap((directory) => NAMES.map((name) => join(directory, name))).find(isExecutable);
}

/** Chromium has no sandbox when it runs as root. */
const CHROMIUM_ARGS = process.getuid?.() === 0 ? ['--no-sandbox'] : [];

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

module.exports = { findChromium, CHROMIUM_ARGS };
