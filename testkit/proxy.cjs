// A TCP proxy in front of Redis that knows the role of each connection and can inject network faults.
const { once } = require('node:events');
const { createServer } = require('node:net');
const { ProxiedConnection } = require('./proxiedConnection.cjs');

/**
 * @typedef {import('./connectionRoles.cjs').Role} Role
 * @typedef {'requests' | 'responses' | 'both'} Direction
 *
 * @typedef {object} Proxy Each fault is limited to the connections of `role`, if one is given.
 * @property {string} url
 * @property {number} port
 * @property {(role?: Role) => void} cut breaks existing connections
 * @property {() => void} cutClients breaks only the clients' side: Redis still receives held data
 * @property {(role?: Role) => void} refuse breaks new connections, at once or as soon as they reveal their role
 * @property {(direction: Direction, role?: Role) => void} blackhole bytes of existing connections vanish, and these
 * stay open, while new connections work, as with a lost NAT entry
 * @property {(direction: Direction) => void} partition bytes of all connections vanish, including new ones
 * @property {(ms: number, role?: Role) => void} delay delays both directions by so many milliseconds, in order
 * @property {(role?: Role) => void} hold keeps what clients send until `release`
 * @property {() => Promise<void>} release forwards held data; resolves when Redis has received it
 * @property {() => void} heal ends every fault. Connections that have lost bytes are broken, since a stream with a gap
 * would be another fault.
 * @property {() => Role[]} roles of existing connections, as far as they have revealed it
 * @property {() => Promise<void>} close
 */

/**
 * @param {number} targetPort
 * @returns {Promise<Proxy>}
 */
async function startProxy(targetPort) {
  /** @type {Set<ProxiedConnection>} */
  const connections = new Set();
  /** Rules for existing and new connections; undefined in a list of roles stands for all roles. */
  const rules = newRules();

  const listener = createServer((client) => {
    if (rules.refused.has(undefined)) return void client.destroy();
    const connection = new ProxiedConnection(client, targetPort, rules);
    connections.add(connection);
    connection.onClose = () => connections.delete(connection);
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (listener.address());

  /** @param {Role} [role] */
  const those = (role) => [...connections].filter((each) => role === undefined || each.role === role);
  /** @param {Role} [role] */
  const cut = (role) => those(role).forEach((each) => each.destroy());
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    cut,
    cutClients: () => those().forEach((each) => each.destroyClient()),
    refuse: (role) => void rules.refused.add(role),
    blackhole: (direction, role) => those(role).forEach((each) => each.blackhole(direction)),
    partition(direction) {
      rules.partition = direction;
    },
    delay: (ms, role) => void rules.delays.set(role, ms),
    hold: (role) => void rules.held.add(role),
    async release() {
      rules.held.clear();
      for (const each of those()) await each.release();
    },
    heal() {
      Object.assign(rules, newRules());
      for (const each of those()) if (each.hasLostBytes) each.destroy();
    },
    roles: () => those().flatMap(({ role }) => role ?? []),
    async close() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** @typedef {ReturnType<typeof newRules>} Rules */

function newRules() {
  return {
    /** @type {Set<Role | undefined>} */
    refused: new Set(),
    /** @type {Set<Role | undefined>} */
    held: new Set(),
    /** @type {Map<Role | undefined, number>} */
    delays: new Map(),
    /** @type {Direction | undefined} */
    partition: undefined,
  };
}

module.exports = { startProxy };
