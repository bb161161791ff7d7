// Stops only the Redis that the application started here, whose data directory is .redis in the
// working directory. It asks the server itself, since a pid file can outlive its server and name another process. A plain
// socket is enough; a Redis client would reconnect and hide why a server refuses it.
import { realpathSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ANSWER_TIMEOUT_MS = 2000;
const STOP_TIMEOUT_MS = 30_000;
const host = '127.0.0.1';
const port = Number(process.argv[2] ?? 6379);
const address = `${host}:${port}`;

process.exitCode = await stop();

async function stop() {
  if (!(port > 0 && port < 65_536))
    return refuse(`the port is ${process.argv[2]}, expected a number up to 65535`);
  const reply = await ask('CONFIG GET dir', /^[^*].*\r\n|\r\ndir\r\n\$\d+\r\n.*\r\n/, ANSWER_TIMEOUT_MS);
  if (reply === undefined) return say(`nothing runs at ${address}`);
  const directory = /\r\ndir\r\n\$\d+\r\n(.*)\r\n/.exec(reply)?.[1];
  if (directory === undefined) {
    const said = JSON.stringify(reply.split('\r\n')[0].slice(0, 100));
    return refuse(
      `what runs at ${address} was not started here and is left alone: asked where its data is, it said ${said}`,
    );
  }
  if (!isSame(directory, path.resolve('.redis'))) {
    return refuse(
      `the Redis at ${address} was not started here and is left alone: its data is in ${directory}`,
    );
  }
  // Redis writes its append-only file to disk and exits. It answers only if it refuses.
  const objection = await ask('SHUTDOWN', /\r\n/, STOP_TIMEOUT_MS);
  if (objection) return refuse(`the Redis at ${address} refuses to stop: ${objection.trim()}`);
  // Wait for the port, not the pid: a zombie keeps its pid until its parent reaps it.
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  while ((await ask('PING', /\r\n/, ANSWER_TIMEOUT_MS)) !== undefined) {
    if (performance.now() > deadline)
      return refuse(`the Redis at ${address} was told to stop, but still listens`);
    await sleep(50);
  }
  return say(`stopped the Redis at ${address}; its data stays in ${directory}`);
}

/** Returns the answer until `end` matches, the peer closes or time is over; undefined if nothing listens. */
function ask(command, end, patienceMs) {
  return new Promise((resolve) => {
    let reply;
    const socket = connect({ host, port });
    socket.setEncoding('utf8');
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reply);
    };
    const timer = setTimeout(done, patienceMs);
    socket.once('connect', () => {
      reply = '';
      socket.write(`${command}\r\n`);
    });
    socket.on('data', (chunk) => {
      reply += chunk;
      if (end.test(reply)) done();
    });
    socket.once('error', done);
    socket.once('close', done);
  });
}

function isSame(one, other) {
  try {
    return realpathSync(one) === realpathSync(other);
  } catch {
    return false;
  }
}

function say(text) {
  console.log(text);
  return 0;
}

function refuse(text) {
  console.error(text);
  return 1;
}
