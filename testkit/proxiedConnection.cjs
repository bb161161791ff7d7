const { connect } = require('node:net');
const { CommandReader, roleOf } = require('./connectionRoles.cjs');

/**
 * @typedef {import('./connectionRoles.cjs').Role} Role
 * @typedef {import('./proxy.cjs').Direction} Direction
 * @typedef {import('node:net').Socket} Socket
 */

/** A client connection through the proxy, with its faults. */
class ProxiedConnection {
  /** @type {Role | undefined} known as soon as a command has shown it */
  role;
  onClose = () => {};
  hasLostBytes = false;
  /** @type {Direction | undefined} */
  #blackholed;
  /** @type {Buffer[]} */
  #held = [];
  #reader = new CommandReader();
  #client;
  #server;
  #rules;

  /**
   * @param {Socket} client
   * @param {number} targetPort
   * @param {import('./proxy.cjs').Rules} rules
   */
  constructor(client, targetPort, rules) {
    this.#client = client;
    this.#server = connect(targetPort, '127.0.0.1');
    this.#rules = rules;
    const toServer = this.#delayed(this.#server);
    const toClient = this.#delayed(client);
    client.on('data', (chunk) => {
      if (this.role === undefined && !this.#showsRole(chunk)) return;
      if (this.#loses('requests')) return;
      if (this.#isHeld()) this.#held.push(chunk);
      else toServer(chunk);
    });
    this.#server.on('data', (chunk) => {
      if (!this.#loses('responses')) toClient(chunk);
    });
    for (const socket of [client, this.#server]) socket.on('error', () => undefined);
    client.on('close', () => {
      // Held data still has to reach Redis.
      if (!this.#isHeld()) this.#server.destroy();
    });
    this.#server.on('close', () => {
      client.destroy();
      this.onClose();
    });
  }

  /** @param {Direction} direction */
  blackhole(direction) {
    this.#blackholed = direction;
    this.hasLostBytes = true;
  }

  destroy() {
    this.#client.destroy();
    this.#server.destroy();
  }

  destroyClient() {
    this.#client.destroy();
  }

  async release() {
    for (const chunk of this.#held.splice(0))
      await new Promise((resolve) => this.#server.write(chunk, resolve));
    // Redis closes the connection when it has processed everything.
    if (this.#client.destroyed) await new Promise((resolve) => this.#server.end().once('close', resolve));
  }

  /**
   * Returns whether the connection may stay open, given the role that it has revealed so far.
   *
   * @param {Buffer} chunk
   */
  #showsRole(chunk) {
    for (const command of this.#reader.read(chunk)) this.role ??= roleOf(command);
    if (this.role === undefined || !this.#rules.refused.has(this.role)) return true;
    this.destroy();
    return false;
  }

  /** @param {'requests' | 'responses'} direction */
  #loses(direction) {
    const loses = [this.#blackholed, this.#rules.partition].some(
      (lost) => lost === direction || lost === 'both',
    );
    this.hasLostBytes ||= loses;
    return loses;
  }

  #isHeld() {
    return this.#rules.held.has(undefined) || this.#rules.held.has(this.role);
  }

  /**
   * Delays data but never reorders it.
   *
   * @param {Socket} socket
   */
  #delayed(socket) {
    /** @type {Buffer[]} */
    const waiting = [];
    let due = 0;
    const send = (/** @type {Buffer} */ chunk) => void (socket.writable && socket.write(chunk));
    return (/** @type {Buffer} */ chunk) => {
      const { delays } = this.#rules;
      const delayMs = delays.get(this.role) ?? delays.get(undefined) ?? 0;
      if (delayMs === 0 && waiting.length === 0) return send(chunk);
      due = Math.max(due, performance.now() + delayMs);
      waiting.push(chunk);
      // Whichever timer fires first, the first chunk is sent first.
      setTimeout(() => send(/** @type {Buffer} */ (waiting.shift())), Math.max(0, due - performance.now()));
    };
  }
}

module.exports = { ProxiedConnection };
