const { once } = require('node:events');
const { createServer } = require('node:net');

/**
 * Returns a port on loopback that was free a moment ago.
 *
 * @returns {Promise<number>}
 */
async function freePort() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await new Promise((resolve) => server.close(resolve));
  return port;
}

module.exports = { freePort };
