// A TCP proxy in front of Redis that knows what each connection is for, and can fail as networks do.
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
 * @property {(role?: Role) => void} cut breaks the connections there are
 * @property {() => void} cutClients breaks the clients' side alone: Redis still gets what was held
 * @property {(role?: Role) => void} refuse new connections are broken: at once, or as soon as they show their role
 * @property {(direction: Direction, role?: Role) => void} blackhole bytes of the connections there are vanish, and these
 * stay open, while new connections work: a NAT entry is lost
 * @property {(direction: Direction) => void} partition bytes of all connections vanish, of new ones too
 * @property {(ms: number, role?: Role) => void} delay both directions are so many milliseconds late, and in order
 * @property {(role?: Role) => void} hold what clients send is kept here until `release`
 * @property {() => Promise<void>} release what was held is sent on; resolves when Redis has had it
 * @property {() => void} heal ends every fault. Connections that have lost bytes are broken: a stream with a hole in it
 * would be another fault.
 * @property {() => Role[]} roles of the connections there are, as far as they have shown it
 * @property {() => Promise<void>} close
 */

/**
 * @param {number} targetPort
 * @returns {Promise<Proxy>}
 */
async function startProxy(targetPort) {
  /** @type {Set<ProxiedConnection>} */
  const connections = new Set();
  /** Rules for connections, those to come included; undefined in a list of roles stands for all. */
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
