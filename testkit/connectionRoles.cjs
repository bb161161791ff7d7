// Identifies the role of a connection to Redis by its commands.

/**
 * @typedef {'subscriber' | 'commit' | 'blocking' | 'queue' | 'listener' | 'recorder' | 'lease' | 'control'} Role
 *
 * - `subscriber`: receives announcements, and is the presence of the instance.
 * - `commit`: WATCH, MULTI and EXEC of the generator.
 * - `blocking` and `queue`: BullMQ's worker, waiting for a message and handling one.
 * - `listener`: reads the event stream for the error recorder.
 * - `recorder`: reads and writes the error recorder's position and records.
 * - `lease`: acquires, renews and reads leases.
 * - `control`: everything else.
 */

/** @type {Role[]} */
const ROLES = ['subscriber', 'commit', 'blocking', 'queue', 'listener', 'recorder', 'lease', 'control'];

/** Sent on every connection before it is used. */
const HANDSHAKE = /^(AUTH|HELLO|SELECT|CLIENT|INFO|PING|READONLY|CLUSTER|COMMAND|QUIT)$/;
const SCRIPT = /^(EVAL|EVALSHA)(_RO)?$/;

/**
 * Returns undefined for a command that reveals no role.
 *
 * @param {string[]} command
 * @returns {Role | undefined}
 */
function roleOf([name = '', ...args]) {
  const verb = name.toUpperCase();
  if (HANDSHAKE.test(verb)) return undefined;
  if (/^S?P?SUBSCRIBE$/.test(verb)) return 'subscriber';
  if (/^(WATCH|MULTI|EXEC)$/.test(verb)) return 'commit';
  if (/^(BZPOPMIN|BRPOPLPUSH|BLMOVE)$/.test(verb)) return 'blocking';
  if (verb === 'XREAD') return 'listener';
  const key = SCRIPT.test(verb) ? args[2] : args[0];
  if (/\}(:source:[^:]+)?:lease/.test(key ?? '')) return 'lease';
  if (/\}:recorder$/.test(key ?? '')) return 'recorder';
  if (SCRIPT.test(verb) && /\}:messages:/.test(key ?? '')) return 'queue';
  return 'control';
}

/** Parses the commands of a client from the bytes received so far. */
class CommandReader {
  #rest = Buffer.alloc(0);

  /**
   * @param {Buffer} chunk
   * @returns {string[][]} the newly completed commands
   */
  read(chunk) {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const commands = [];
    for (;;) {
      const parsed = parseCommand(this.#rest);
      if (parsed === undefined) return commands;
      commands.push(parsed.words);
      this.#rest = this.#rest.subarray(parsed.length);
    }
  }
}

/**
 * Parses the first command, an array of bulk strings as clients send it; undefined while it is incomplete.
 *
 * @param {Buffer} bytes
 */
function parseCommand(bytes) {
  let at = 0;
  const header = () => {
    const end = bytes.indexOf('\r\n', at);
    if (end === -1) return undefined;
    const text = bytes.toString('latin1', at + 1, end);
    at = end + 2;
    return Number(text);
  };
  const count = header();
  if (count === undefined) return undefined;
  const words = [];
  for (let index = 0; index < count; index++) {
    const length = header();
    if (length === undefined || bytes.length < at + length + 2) return undefined;
    words.push(bytes.toString('utf8', at, at + Math.min(length, 200)));
    at += length + 2;
  }
  return { words, length: at };
}

module.exports = { CommandReader, ROLES, roleOf };
