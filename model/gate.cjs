// A TCP proxy before a Redis that takes one decision for each request and each answer: the read of a commit
// (`WATCH`, script) and its transaction (`MULTI` to `EXEC`) each travel as one. All else passes at once.
const { once } = require('node:events');
const { connect, createServer } = require('node:net');

/**
 * @typedef {{ kind: 'read' | 'transaction', commands: Buffer[][] }} Group
 * @typedef {object} Decisions
 * @property {(group: Group) => Promise<'deliver' | 'lost' | 'late'>} request
 * @property {(group: Group) => Promise<'deliver' | 'lost'>} answer
 * @property {(command: Buffer[], inTransaction: boolean) => Buffer[]} [rewrite]
 */

/**
 * @param {number} targetPort
 * @param {Decisions} decisions
 */
async function startGate(targetPort, decisions) {
  /**
   * `skipped`: replies to be left out, to what the gate itself has sent.
   *
   * @typedef {import('node:net').Socket} Socket
   * @type {Set<{ client: Socket, server: Socket, late: boolean, skipped: number }>}
   */
  const pairs = new Set();
  /** @type {(() => Promise<void>)[]} */
  let late = [];

  const listener = createServer((client) => {
    client.setNoDelay(true);
    const server = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    const pair = { client, server, late: false, skipped: 0 };
    pairs.add(pair);
    const replies = new Replies(server);
    const groups = grouped();
    let input = Buffer.alloc(0);
    let working = Promise.resolve();
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.on('close', () => {
      if (!pair.late) server.destroy();
    });
    server.on('close', () => {
      client.destroy();
      pairs.delete(pair);
      replies.end();
    });
    const cut = () => {
      client.destroy();
      server.destroy();
    };
    const skip = async () => {
      const count = pair.skipped;
      pair.skipped = 0;
      if (count > 0) await replies.take(count);
    };
    const work = async (/** @type {Group | Buffer[]} */ unit) => {
      if (Array.isArray(unit)) {
        if (pair.late) return;
        await skip();
        server.write(encode(unit));
        const reply = await replies.take(1);
        if (reply && client.writable) client.write(reply);
        return;
      }
      // What travelled behind a late request does not matter: its answer would go nowhere.
      if (pair.late) return;
      const wish = client.destroyed ? 'lost' : await decisions.request(unit);
      if (wish === 'lost' || server.destroyed) return cut();
      const bytes = Buffer.concat(unit.commands.map((each) => encode(rewritten(each, unit))));
      const count = unit.commands.length;
      if (wish === 'late') {
        pair.late = true;
        late.push(async () => {
          if (server.destroyed) return;
          server.write(bytes);
          await replies.take(count);
          server.destroy();
        });
        client.destroy();
        return;
      }
      await skip();
      server.write(bytes);
      const answers = await replies.take(count);
      if (answers === undefined || (await decisions.answer(unit)) === 'lost') return cut();
      if (client.writable) client.write(answers);
    };
    const rewritten = (/** @type {Buffer[]} */ command, /** @type {Group} */ group) =>
      decisions.rewrite?.(command, group.kind === 'transaction') ?? command;
    client.on('data', (chunk) => {
      input = Buffer.concat([input, /** @type {Buffer} */ (chunk)]);
      for (;;) {
        const parsed = parseCommand(input);
        if (parsed === undefined) return;
        input = input.subarray(parsed.end);
        for (const unit of groups(parsed.command)) working = working.then(() => work(unit));
      }
    });
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (listener.address());

  return {
    url: `redis://127.0.0.1:${port}`,
    /** Requests that were late arrive. */
    async deliverLate() {
      const arriving = late;
      late = [];
      for (const arrive of arriving) await arrive();
    },
    /** Sends a command of the gate's own on every connection. */
    inject(/** @type {string[]} */ ...command) {
      for (const pair of pairs) {
        pair.server.write(encode(command.map((part) => Buffer.from(part))));
        pair.skipped++;
      }
    },
    /** Every connection is gone, with all that is under way. */
    cutAll() {
      late = [];
      for (const { client, server } of pairs) {
        client.destroy();
        server.destroy();
      }
    },
    async close() {
      this.cutAll();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** Puts commands together that travel as one. */
function grouped() {
  /** @type {Buffer[][]} */
  let open = [];
  let inTransaction = false;
  return (/** @type {Buffer[]} */ command) => {
    const name = command[0].toString().toUpperCase();
    if (name === 'MULTI') inTransaction = true;
    if (inTransaction) {
      open.push(command);
      if (name !== 'EXEC') return [];
      inTransaction = false;
      const commands = open;
      open = [];
      return [{ kind: /** @type {const} */ ('transaction'), commands }];
    }
    if (name === 'WATCH' || name === 'UNWATCH') {
      open.push(command);
      return [];
    }
    if (name !== 'EVAL') return [command];
    const commands = [...open, command];
    open = [];
    return [{ kind: /** @type {const} */ ('read'), commands }];
  };
}

class Replies {
  #buffer = Buffer.alloc(0);
  #wanted = 0;
  /** @type {((bytes: Buffer | undefined) => void) | undefined} */
  #resolve;
  #ended = false;

  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    socket.on('data', (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, /** @type {Buffer} */ (chunk)]);
      this.#look();
    });
  }

  /** @returns {Promise<Buffer | undefined>} the bytes of so many replies; undefined if the connection ends before */
  take(/** @type {number} */ count) {
    return new Promise((resolve) => {
      if (this.#ended) return resolve(undefined);
      this.#wanted = count;
      this.#resolve = resolve;
      this.#look();
    });
  }

  end() {
    this.#ended = true;
    this.#resolve?.(undefined);
    this.#resolve = undefined;
  }

  #look() {
    if (this.#resolve === undefined) return;
    let end = 0;
    for (let n = 0; n < this.#wanted; n++) {
      end = replyEnd(this.#buffer, end);
      if (end === -1) return;
    }
    const resolve = this.#resolve;
    this.#resolve = undefined;
    const bytes = this.#buffer.subarray(0, end);
    this.#buffer = this.#buffer.subarray(end);
    resolve(bytes);
  }
}

/** Where the reply that begins at `start` ends, RESP2 or RESP3; -1 if it is not all there. */
function replyEnd(/** @type {Buffer} */ buffer, /** @type {number} */ start) {
  const lineEnd = buffer.indexOf('\r\n', start);
  if (lineEnd === -1) return -1;
  const type = String.fromCharCode(buffer[start]);
  const length = Number(buffer.toString('latin1', start + 1, lineEnd));
  let end = lineEnd + 2;
  if ('$=!'.includes(type)) {
    if (length >= 0) end += length + 2;
    return end <= buffer.length ? end : -1;
  }
  if (!'*%~>'.includes(type)) return end;
  for (let n = 0; n < length * (type === '%' ? 2 : 1); n++) {
    end = replyEnd(buffer, end);
    if (end === -1) return -1;
  }
  return end;
}

/** @returns {{ command: Buffer[], end: number } | undefined} */
function parseCommand(/** @type {Buffer} */ buffer) {
  let at = 0;
  const line = () => {
    const end = buffer.indexOf('\r\n', at);
    if (end === -1) return undefined;
    const text = buffer.toString('latin1', at, end);
    at = end + 2;
    return text;
  };
  const head = line();
  if (head === undefined) return undefined;
  const command = [];
  for (let n = Number(head.slice(1)); n > 0; n--) {
    const size = line();
    if (size === undefined) return undefined;
    const end = at + Number(size.slice(1));
    if (buffer.length < end + 2) return undefined;
    command.push(buffer.subarray(at, end));
    at = end + 2;
  }
  return { command, end: at };
}

function encode(/** @type {Buffer[]} */ command) {
  const parts = [Buffer.from(`*${command.length}\r\n`)];
  for (const part of command) parts.push(Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n'));
  return Buffer.concat(parts);
}

module.exports = { startGate };
