// A TCP proxy between a client and a Redis on this machine, that can be made to misbehave as networks do.
// CommonJS, so that the tests share it.
const { once } = require('node:events');
const { connect, createServer } = require('node:net');

/**
 * @typedef {'nothing' | 'questions' | 'answers' | 'all'} Swallowed
 * @typedef {object} Proxy
 * @property {string} url
 * @property {number} port
 * @property {(what: Swallowed) => void} swallow Bytes of these directions vanish from now on, while the connections
 * stay: half-open.
 * @property {() => void} hold What clients send is kept here until `release`.
 * @property {() => Promise<void>} release What was held is sent on; resolves when Redis has had it.
 * @property {(ms: number) => void} delay Delays both directions by so many milliseconds.
 * @property {() => void} cut Breaks every connection.
 * @property {() => void} cutClients Breaks the clients' side alone: Redis still gets what was held.
 * @property {(on: boolean) => void} refuse While refused, new connections are broken at once.
 * @property {() => Promise<void>} close
 */

/**
 * @param {number} targetPort
 * @returns {Promise<Proxy>}
 */
async function startProxy(targetPort) {
  /** @type {Swallowed} */
  let swallowed = 'nothing';
  let holding = false;
  let refusing = false;
  let delayMs = 0;
  /** @type {Set<{ client: import('node:net').Socket, server: import('node:net').Socket, held: Buffer[] }>} */
  const pairs = new Set();

  /**
   * Late, but never out of order: that is what networks do to a stream.
   *
   * @param {(chunk: Buffer) => void} send
   */
  function delayed(send) {
    /** @type {Buffer[]} */
    const waiting = [];
    let due = 0;
    return (/** @type {Buffer} */ chunk) => {
      if (delayMs === 0 && waiting.length === 0) return send(chunk);
      due = Math.max(due, performance.now() + delayMs);
      waiting.push(chunk);
      // Whichever timer fires first, the first chunk goes first.
      setTimeout(() => send(/** @type {Buffer} */ (waiting.shift())), due - performance.now());
    };
  }

  const listener = createServer((client) => {
    if (refusing) return void client.destroy();
    const server = connect(targetPort, '127.0.0.1');
    /** @type {{ client: import('node:net').Socket, server: import('node:net').Socket, held: Buffer[] }} */
    const pair = { client, server, held: [] };
    pairs.add(pair);
    const toServer = delayed((chunk) => void (server.writable && server.write(chunk)));
    const toClient = delayed((chunk) => void (client.writable && client.write(chunk)));
    client.on('data', (chunk) => {
      if (swallowed === 'questions' || swallowed === 'all') return;
      if (holding) pair.held.push(chunk);
      else toServer(chunk);
    });
    server.on('data', (chunk) => {
      if (swallowed === 'answers' || swallowed === 'all') return;
      toClient(chunk);
    });
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.on('close', () => {
      if (!holding) server.destroy();
    });
    server.on('close', () => {
      client.destroy();
      pairs.delete(pair);
    });
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (listener.address());

  const cut = () => {
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    swallow(what) {
      swallowed = what;
    },
    hold() {
      holding = true;
    },
    async release() {
      holding = false;
      for (const { server, held, client } of pairs) {
        for (const chunk of held.splice(0)) await new Promise((resolve) => server.write(chunk, resolve));
        // Redis ends the connection when it has dealt with all of it.
        if (client.destroyed) await new Promise((resolve) => server.end().once('close', resolve));
      }
    },
    delay(ms) {
      delayMs = ms;
    },
    cut,
    cutClients() {
      for (const { client } of pairs) client.destroy();
    },
    refuse(on) {
      refusing = on;
    },
    async close() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

module.exports = { startProxy };
