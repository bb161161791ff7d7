import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { type ModuleHost, openModuleHost } from '../helpers/moduleHost';
import {
  findPostgres,
  type PostgresClient,
  type PostgresServer,
  startPostgres,
} from '../helpers/postgresServer';
import { DURABLE, type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

/** INBOX_ROWS=10000 for a longer run by hand. */
const ROWS = Number(process.env['INBOX_ROWS'] ?? 1000);
const ROWS_PER_TRANSACTION = 20;
const ROWS_PER_FAULT = 500;
const TIMEOUT_MS = 30_000 + ROWS * 30;
const JOB_LOCK_MS = 600;
const HANDLER = resolve('examples/inbox/task.mjs');
const FROM_OUTBOX = resolve('examples/inbox/fromOutbox.mjs');

const bin = findPostgres();
if (bin === undefined) {
  process.stderr.write(
    'left out: the tests of examples/inbox, since PostgreSQL is neither on PATH nor in /usr/lib/postgresql\n',
  );
}

let postgres: PostgresServer;
let redis: RedisServer;
let database: PostgresClient;
let host: ModuleHost;

(bin === undefined ? describe.skip : describe)('the inbox', () => {
  beforeAll(async () => {
    [postgres, redis, host] = await Promise.all([startPostgres(bin!), startRedis(DURABLE), openModuleHost()]);
    for (const example of ['outbox', 'inbox']) {
      postgres.run('psql', ['-q'], readFileSync(`examples/${example}/schema.sql`, 'utf8'));
    }
    database = await postgres.open();
  });

  beforeEach(() => database.query('TRUNCATE outbox, inbox, received'));

  afterEach(killAll);

  afterAll(async () => {
    await host?.close();
    await Promise.all([postgres?.stop(), redis?.stop()]);
  });

  it(
    'has each row of the outbox once although generators and handlers are killed and handlers are paused past their locks',
    async () => {
      const instances = [start(), start(), start(), start()];
      await Promise.all([write(), injectFaults(instances)]);
      await waitFor(async () => (await countOf('received')) >= ROWS, 'all rows', TIMEOUT_MS);
      await waitFor(async () => (await unfinished()) === 0, 'the last messages');

      const numbers = async (query: string) => (await database.query(query)).rows.map(({ id }) => id);
      const received = await numbers('SELECT outbox_id AS id FROM received ORDER BY outbox_id');
      expect(received).toEqual(await numbers('SELECT id FROM outbox ORDER BY id'));
      const { rows } = await database.query(
        'SELECT outbox_id FROM received JOIN outbox ON outbox_id = id AND received.payload = outbox.payload',
      );
      expect(rows).toHaveLength(ROWS);
      expect(await redis.client.zcard('{inbox}:messages:failed')).toBe(0);
      // Otherwise the test has shown nothing: messages must have been redelivered.
      expect(
        Number((await database.query('SELECT count(*) FROM inbox WHERE attempt > 1')).rows[0]!['count']),
      ).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  const handle = (attempt: number, id = '7', row = 5) =>
    host.run('handle', {
      module: HANDLER,
      env: { DATABASE_URL: '', INBOX_DATABASE_URL: postgres.url() },
      message: { id: String(row), topic: 'paid', payload: { row } },
      context: { id, attempt },
    });

  it('refuses an attempt once a higher one has begun, and skips a message that is already handled', async () => {
    await handle(3);
    await handle(4);
    await expect(handle(2)).rejects.toThrow('attempt 2 of message 7 (5) is stale: a newer one has begun');
    expect(await countOf('received')).toBe(1);
    // Another message of the same row, generated again after Redis lost its last writes.
    await handle(1, '6');
    expect(await countOf('received')).toBe(1);
  });

  it('refuses a handler that was overtaken after it had started', async () => {
    const other = await postgres.open();
    await other.query('BEGIN; LOCK TABLE received');
    const first = handle(1);
    first.catch(() => undefined);
    // It holds the lock of its row in inbox and waits for the table.
    await waitFor(async () => (await waitingForLocks()) === 1, 'the first attempt');
    const second = handle(2);
    await waitFor(async () => (await waitingForLocks()) === 2, 'the second attempt');
    await other.query('COMMIT');
    await Promise.all([first, second]);
    expect(await countOf('received')).toBe(1);

    // Overtaken after it started and before its transaction.
    await database.query("INSERT INTO inbox VALUES ('9', '8', 1)");
    await database.query(
      'CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.attempt := 2; RETURN NEW; END $$',
    );
    await database.query(
      'CREATE TRIGGER overtake BEFORE UPDATE OF attempt ON inbox FOR EACH ROW EXECUTE FUNCTION overtake()',
    );
    try {
      await expect(handle(1, '8', 9)).rejects.toThrow('attempt 1 of message 8 (9) is stale');
    } finally {
      await database.query('DROP FUNCTION overtake CASCADE');
    }
    expect(await countOf('received')).toBe(1);
  });
});

it('an invalid INBOX_DATABASE_URL ends the inbox with exit code 2 and is not shown', async () => {
  const { code, stderr } = await runCommand(['start'], {
    TASK: HANDLER,
    INBOX_DATABASE_URL: 'mysql://me:Sesame@host/db',
    REDISURL: 'redis://127.0.0.1:1',
  });
  expect([code, stderr]).toEqual([2, expect.stringMatching(/INBOX_DATABASE_URL is not set to a database/)]);
  expect(stderr).not.toContain('Sesame');
});

function start(): InstanceProcess {
  return startInstance({
    REDISURL: redis.url,
    NAMESPACE: 'inbox',
    TASK: FROM_OUTBOX,
    DATABASE_URL: postgres.url(),
    LEASE_TTL_MS: '1000',
    JOB_LOCK_MS: String(JOB_LOCK_MS),
    CONCURRENCY: '8',
    // A handler times out waiting for the lock of a paused one, or PostgreSQL terminates the paused one.
    ATTEMPTS: '10',
    BACKOFF_MS: '50',
    KEEP_COMPLETED: '1000',
    // Keep generation running for as long as handling.
    MAX_BACKLOG: '100',
    LOG_LEVEL: 'error',
  });
}

/** While there is work, repeatedly pauses a handler beyond its locks and kills the generator and another handler. */
async function injectFaults(instances: InstanceProcess[]): Promise<void> {
  const untilReceived = (count: number) =>
    waitFor(async () => (await countOf('received')) >= count, `${count} rows`, 45_000);
  const generator = () =>
    waitFor(async () => {
      const found = await redis.client.hget('{inbox}:leader', 'instance');
      return instances.find(({ name }) => name === found);
    }, 'a generator among the living');
  const replace = (instance: InstanceProcess) => {
    instance.signal('SIGKILL');
    instances.splice(instances.indexOf(instance), 1, start());
  };
  for (let count = 100; count < ROWS; count += ROWS_PER_FAULT) {
    await untilReceived(count);
    const killed = await generator();
    const [paused, other] = instances.filter((each) => each !== killed) as [InstanceProcess, InstanceProcess];
    paused.signal('SIGSTOP');
    replace(killed);
    await sleep(JOB_LOCK_MS * 2.5);
    paused.signal('SIGCONT');
    replace(other);
  }
}

/** Writes all rows in transactions of a few rows each. */
async function write(): Promise<void> {
  const client = await postgres.open();
  for (let row = 0; row < ROWS; row += ROWS_PER_TRANSACTION) {
    await client.query(
      `INSERT INTO outbox (topic, payload) SELECT 'row', jsonb_build_object('row', n)
       FROM generate_series($1::int, $2::int) n`,
      [row + 1, Math.min(row + ROWS_PER_TRANSACTION, ROWS)],
    );
  }
}

async function countOf(table: string): Promise<number> {
  return Number((await database.query(`SELECT count(*) FROM ${table}`)).rows[0]!['count']);
}

async function unfinished(): Promise<number> {
  const keys = ['wait', 'active'].map((state) => redis.client.llen(`{inbox}:messages:${state}`));
  const lengths = await Promise.all([...keys, redis.client.zcard('{inbox}:messages:delayed')]);
  return lengths.reduce((sum, length) => sum + length, 0);
}

async function waitingForLocks(): Promise<number> {
  const { rows } = await database.query(
    "SELECT 1 FROM pg_stat_activity WHERE application_name = 'inbox' AND wait_event_type = 'Lock'",
  );
  return rows.length;
}
