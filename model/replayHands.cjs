// Replays a counterexample of messages.pml with the real redelivery, BullMQ's own workers and a real Redis.
//
// A step in which the keeper reads something stores the result; the keeper receives it when its next step is due, so
// that the steps in between happen in between.
const { setTimeout: sleep } = require('node:timers/promises');
const QUEUE_NAME = 'messages';

const TIMEOUT_MS = 2000;
/** The guards that can be removed here, and how: for example, identical tokens are as good as none. */
const WITHOUT =
  /** @type {Record<string, { sameToken?: true, blindly?: true, noSecondCheck?: true, retries?: true }>} */ ({
    REDELIVER_WITHOUT_TOKEN: { sameToken: true },
    FINISH_WITHOUT_TOKEN: { sameToken: true },
    TOKEN_WITHOUT_HOLDER: { blindly: true },
    NO_SECOND_LOOK: { noSecondCheck: true },
    STALL_RETRIES: { retries: true },
  });

/**
 * @param {{ redelivery: any, openQueue: any, keysOf: any, Worker: any }} parts
 * @param {{ client: any }} redis
 * @param {{ guard: string, steps: string[] }} schedule
 * @param {{ namespace: string, without: boolean }} options
 * @returns {Promise<{ violations: string[], refused: string | undefined }>} `refused`: the step that was not possible
 */
async function replayHands(parts, { client }, { guard, steps }, { namespace, without }) {
  const missing = without ? WITHOUT[guard] : {};
  const keys = parts.keysOf(namespace);
  const queue = parts.openQueue(client, keys);
  await queue.add('message', { number: 1 });
  const workers = [0, 1].map((w) => {
    const options = { connection: client, prefix: keys.queuePrefix, name: `w${w}`, autorun: false };
    const worker = new parts.Worker(QUEUE_NAME, undefined, { ...options, lockDuration: 60_000 });
    worker.on('error', () => undefined);
    return { worker, job: undefined, token: '', gone: false, suspected: false };
  });
  const violations = /** @type {string[]} */ ([]);
  const failsIt = guard === 'STALL_RETRIES';
  let stalled = false;
  let tokens = 0;

  const keeper = startKeeper(parts, client, queue, keys, {
    onStall: failsIt && !missing.retries ? 'fail' : 'retry',
    blindly: missing.blindly === true,
  });
  const dead = () => workers.flatMap(({ gone }, w) => (gone ? [`w${w}`] : []));
  const putDown = (/** @type {any} */ at) => Object.assign(at, { job: undefined, suspected: false });
  /** The result of the second check, which the keeper receives when it continues. */
  let verdict = /** @type {string[]} */ ([]);

  const take = async (/** @type {string} */ step, /** @type {number} */ i) => {
    const at = /** @type {any} */ (workers[i]);
    switch (step) {
      case 'take': {
        at.token = missing.sameToken ? 'token' : `token ${++tokens}`;
        at.job = await at.worker.getNextJob(at.token, { block: false });
        const other = /** @type {any} */ (workers[1 - i]);
        if (at.job && other.job && !other.suspected) violations.push('a message is in two hands');
        if (at.job && failsIt && stalled) violations.push('a message is handed out again with ON_STALL=fail');
        return at.job !== undefined;
      }
      case 'complete':
      case 'fail': {
        const end =
          step === 'fail'
            ? at.job.moveToFailed(new Error('it fails'), at.token)
            : at.job.moveToCompleted('', at.token, false);
        // Refused without the token.
        await end.catch(() => undefined);
        putDown(at);
        return true;
      }
      case 'crash':
        stalled = at.gone = true;
        putDown(at);
        return true;
      case 'vanish':
        stalled = at.gone = at.suspected = true;
        return true;
      case 'back':
        at.gone = false;
        return true;
      case 'retry':
        await (await queue.getJob('1')).retry();
        return true;
      case 'suspect':
        verdict = dead();
        return keeper.looks(`w${workers.findIndex(({ gone }) => gone)}`);
      case 'token':
        return keeper.goOn(verdict);
      case 'lookAgain':
        if (!missing.noSecondCheck) verdict = dead();
        return true;
      case 'giveBack':
        return keeper.goOn(verdict);
      default:
        throw new Error(`unknown step ${step}`);
    }
  };

  let refused;
  try {
    for (const text of steps) {
      const [step, first] = text.split(' ');
      if (await take(step, Number(first)).catch((error) => ((refused = `${text}: ${error}`), false)))
        continue;
      refused ??= text;
      break;
    }
  } finally {
    await keeper.stop();
    await Promise.all(workers.map(({ worker }) => worker.close(true)));
  }
  return { violations, refused };
}

/** The real redelivery, which waits at each check until it is told which instances are dead. */
function startKeeper(
  /** @type {any} */ parts,
  /** @type {any} */ client,
  /** @type {any} */ queue,
  /** @type {any} */ keys,
  /** @type {{ onStall: string, blindly: boolean }} */ { onStall, blindly },
) {
  const ending = new AbortController();
  const logger = { error() {}, warn() {}, info() {}, debug() {}, child: () => logger };
  let waiting = /** @type {{ instances: string[], tell: (dead: Set<string>) => void } | undefined} */ (
    undefined
  );
  const look = async () => {
    for (const until = performance.now() + TIMEOUT_MS; waiting === undefined; await sleep(2)) {
      if (performance.now() > until)
        throw new Error('timed out waiting for the keeper to check for dead instances');
    }
    return waiting;
  };
  const tell = async (/** @type {string[]} */ dead) => {
    const { tell } = await look();
    waiting = undefined;
    tell(new Set(dead));
  };
  const running = parts.redelivery({
    client: {
      eval: (/** @type {string} */ script, /** @type {any[]} */ ...args) =>
        client.eval(blindly ? script.replace('job[1] == ARGV[2] and ', '') : script, ...args),
    },
    queue,
    keys,
    filterDead: (/** @type {string[]} */ instances) =>
      new Promise((resolve) => (waiting = { instances, tell: resolve })),
    onStall,
    logger,
  })({ signal: ending.signal, progress: () => undefined });
  return {
    /** Resolves when it checks a dead instance, before it receives the answer. */
    async looks(/** @type {string} */ instance) {
      for (;;) {
        if ((await look()).instances.includes(instance)) return true;
        await tell([]);
      }
    },
    /** Sends it the answer, and waits until its next check. */
    async goOn(/** @type {string[]} */ dead) {
      await tell(dead);
      await look();
      return true;
    },
    async stop() {
      ending.abort();
      waiting?.tell(new Set());
      await running;
    },
  };
}

module.exports = { replayHands, WITHOUT };
