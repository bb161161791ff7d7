// Separate machines as far as the network goes: each instance in its own network namespace, all on one bridge with
// Redis. Names contain the process id, so that a later run can remove the leftovers of a killed one.
import { execFileSync } from 'node:child_process';

const PREFIX = 'nicx';
const WRONG_ADDRESS = '02:00:00:00:de:ad';

const ip = (...args) => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Returns why namespaces are unavailable; undefined if they are available. */
export function networkUnavailable() {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const name = `${PREFIX}-${process.pid}-probe`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made: ${error.message.split('\n')[0]}`;
  }
}

export function openNetwork() {
  removeAbandoned();
  const bridge = `${PREFIX}${process.pid}`;
  const subnet = `10.213.${process.pid % 250}`;
  const address = `${subnet}.1`;
  const namespaces = new Set();
  let joined = 1;
  const close = () => removeAll([...namespaces], [bridge]);
  process.on('exit', close);
  ip('link', 'add', bridge, 'type', 'bridge');
  ip('addr', 'add', `${address}/24`, 'dev', bridge);
  ip('link', 'set', bridge, 'up');

  return {
    address,
    close,
    /** Creates a separate machine for an instance. */
    join(name, port) {
      const own = `${subnet}.${++joined}`;
      const namespace = `${PREFIX}-${process.pid}-${name}`;
      // Names of interfaces have at most 15 characters.
      const link = `nx${process.pid}v${joined}`;
      ip('netns', 'add', namespace);
      namespaces.add(namespace);
      ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      ip('link', 'set', link, 'master', bridge, 'up');
      const inside = (...args) => ip('-n', namespace, ...args);
      inside('link', 'set', 'lo', 'up');
      inside('addr', 'add', `${own}/24`, 'dev', 'eth0');
      inside('link', 'set', 'eth0', 'up');
      return {
        prefix: ['ip', 'netns', 'exec', namespace],
        // A board that others can reach requires a password; /readyz does not.
        env: {
          REDISURL: `redis://${address}:${port}`,
          BOARD_HOST: own,
          BOARD_USER: 'chaos',
          BOARD_PASSWORD: 'chaos',
        },
        link: {
          set: (state) => void ip('link', 'set', link, state),
          /** Sends the frames of one direction to a nonexistent hardware address. */
          lose(direction) {
            const wrong = ['lladdr', WRONG_ADDRESS, 'nud', 'permanent', 'dev'];
            if (direction === 'requests') inside('neigh', 'replace', address, ...wrong, 'eth0');
            else ip('neigh', 'replace', own, ...wrong, bridge);
          },
          heal(direction) {
            if (direction === 'requests') inside('neigh', 'del', address, 'dev', 'eth0');
            else ip('neigh', 'del', own, 'dev', bridge);
          },
        },
        leave() {
          namespaces.delete(namespace);
          removeAll([namespace], []);
        },
      };
    },
  };
}

/** Removes leftovers of runs that could not clean up. */
function removeAbandoned() {
  const abandoned = (pid) => {
    try {
      process.kill(Number(pid), 0);
      return false;
    } catch {
      return true;
    }
  };
  const found = (text, pattern) =>
    [...text.matchAll(pattern)].filter(([, pid]) => abandoned(pid)).map(([name]) => name);
  removeAll(
    found(ip('netns', 'list'), new RegExp(`\\b${PREFIX}-(\\d+)-\\w+`, 'g')),
    found(ip('-o', 'link', 'show', 'type', 'bridge'), new RegExp(`\\b${PREFIX}(\\d+)\\b`, 'g')),
  );
}

function removeAll(namespaces, bridges) {
  const removals = [
    ...namespaces.map((name) => ['netns', 'del', name]),
    ...bridges.map((name) => ['link', 'del', name]),
  ];
  for (const args of removals) {
    try {
      ip(...args);
    } catch {
      // Already gone.
    }
  }
}
