import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { history, upTo } from '../helpers/history';
import { ELECTED, type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { openModuleHost } from '../helpers/moduleHost';
import {
  findPostgres,
  type PostgresClient,
  type PostgresServer,
  startPostgres,
} from '../helpers/postgresServer';
import { DURABLE, type RedisServer, startRedis } from '../helpers/redisServer';
import { runCommand } from '../helpers/runCommand';
import { waitFor } from '../helpers/waitFor';

const TASK = resolve('examples/outbox/task.mjs');
const README = readFileSync('examples/outbox/README.md', 'utf8');

const bin = findPostgres();
if (bin === undefined) {
  process.stderr.write(
    'left out: the tests of examples/outbox, since PostgreSQL is neither on PATH nor in /usr/lib/postgresql\n',
  );
}
const whereThereIsPostgres = bin === undefined ? describe.skip : describe;

let postgres: PostgresServer;
let redis: RedisServer;
/** Creates a database and a namespace for each test. */
let name: string;
let count = 0;

whereThereIsPostgres('the outbox', () => {
  beforeAll(async () => {
    [postgres, redis] = await Promise.all([startPostgres(bin!), startRedis(DURABLE)]);
  });

  beforeEach(() => {
    name = `outbox${++count}`;
    postgres.run('createdb', [name]);
    postgres.run('psql', ['-q', name], readFileSync('examples/outbox/schema.sql', 'utf8'));
  });

  afterEach(killAll);

  afterAll(async () => {
    await Promise.all([postgres?.stop(), redis?.stop()]);
  });

  it('publishes each committed row once, in order, although writers overlap and the generator is killed twice', async () => {
    postgres.run('psql', ['-q', name], 'CREATE TABLE elsewhere (at timestamptz DEFAULT now())');
    const instances = [start(), start(), start()];
    await Promise.race(instances.map((instance) => instance.logged(ELECTED)));
    const writing = Promise.all(Array.from({ length: 8 }, () => write(150)));
    for (const progress of [300, 700]) {
      await waitFor(async () => (await generated()) >= progress, `${progress} messages`);
      const leader = await redis.client.hget(`{${name}}:leader`, 'instance');
      instances.find((instance) => instance.name === leader)!.signal('SIGKILL');
      instances.push(start());
    }
    const committed = (await writing).flat();
    await waitFor(async () => (await generated()) >= committed.length, 'all rows');

    const { rows } = await (await postgres.open(name)).query('SELECT id FROM outbox ORDER BY xid, id');
    const inOrder = rows.map(({ id }) => id);
    expect(await published()).toEqual(inOrder);
    expect([...inOrder].sort()).toEqual([...committed].sort());
    // Otherwise the test has shown nothing.
    expect(inOrder).not.toEqual([...inOrder].sort((a, b) => Number(a) - Number(b)));
  });

  it('holds back committed rows while an older transaction is running, which could still add earlier rows', async () => {
    await start().logged(ELECTED);
    const [early, late] = [await postgres.open(name), await postgres.open(name)];
    await early.query('BEGIN');
    await insert(early, 1);
    await insert(late, 2);
    // It was notified and has read the table.
    await sleep(300);
    expect(await published()).toEqual([]);
    await insert(early, 3);
    await early.query('COMMIT');
    await waitFor(async () => (await generated()) === 3, 'all rows');
    expect(await published()).toEqual(['1', '3', '2']);
  });

  it('assigns each row to one shard, in order', async () => {
    const client = await postgres.open(name);
    for (let row = 0; row < 100; row++) await insert(client, row);
    const host = await openModuleHost();
    try {
      const env = { DATABASE_URL: postgres.url(name), SHARDS: '4' };
      const sources = await host.run<string[]>('sources', { module: TASK, env });
      expect(sources).toEqual(['shard0of4', 'shard1of4', 'shard2of4', 'shard3of4']);
      const shards: string[][] = [];
      for (const source of sources) {
        const number = await host.run<number>('open', { module: TASK, env, source });
        const batch = await host.run<{ messages: { id: string }[] }>('next', { number });
        await host.run('abort', { number });
        shards.push(batch.messages.map(({ id }) => id));
      }
      // Each shard gets roughly its share.
      for (const ids of shards) {
        expect(ids.length).toBeGreaterThan(10);
        expect(ids).toEqual([...ids].sort((a, b) => Number(a) - Number(b)));
      }
      expect(shards.flat().sort((a, b) => Number(a) - Number(b))).toEqual(upTo(100).map(String));
      const stray = await host.run<number>('open', { module: TASK, env, source: 'shard0of2' });
      await expect(host.run('next', { number: stray })).rejects.toThrow(
        'the source is shard0of2, expected shard0of4 to shard3of4',
      );
    } finally {
      await host.close();
    }
  });

  it('sees a row as soon as its transaction commits, long before the next poll', async () => {
    const instance = start({ POLL_MS: '60000' });
    await instance.logged(ELECTED);
    const client = await postgres.open(name);
    // Long enough for it to be asleep until 3.4 s have passed.
    await sleep(1000);
    await insert(client, 1);
    await waitFor(async () => (await generated()) === 1, 'the row', 2000);
  });

  it('finds rows without a notification', async () => {
    await start({ POLL_MS: '50' }).logged(ELECTED);
    const client = await postgres.open(name);
    await client.query('DROP TRIGGER outbox_notify ON outbox');
    await insert(client, 1);
    await waitFor(async () => (await generated()) === 1, 'the row');
  });

  it('continues in the same term when PostgreSQL is back', async () => {
    const instance = start();
    await instance.logged(ELECTED);
    await insert(await postgres.open(name), 1);
    await waitFor(async () => (await generated()) === 1, 'the first row');
    await postgres.kill();
    await instance.logged('PostgreSQL is away; trying again');
    await postgres.restart();
    await insert(await postgres.open(name), 2);
    await waitFor(async () => (await generated()) === 2, 'the second row');
    expect(await redis.client.hget(`{${name}}:leader`, 'term')).toBe('1');
  });

  it('shuts down cleanly while PostgreSQL does not answer', async () => {
    const instance = start();
    await instance.logged(ELECTED);
    const [locker, watcher] = [await postgres.open(name), await postgres.open(name)];
    await locker.query('BEGIN; LOCK TABLE outbox');
    // Its next read waits for the lock.
    await waitFor(async () => {
      const { rows } = await watcher.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
      return rows.length > 0;
    }, 'a read that waits');
    instance.signal('SIGTERM');
    expect(await instance.exited).toBe(0);
    await locker.query('ROLLBACK');
  });

  it('needs only the rights that README.md grants, and the SQL there works', async () => {
    const admin = await postgres.open(name);
    await admin.query(
      'CREATE ROLE writer LOGIN; CREATE ROLE reader LOGIN; CREATE TABLE orders (id int, customer text)',
    );
    await admin.query('GRANT INSERT ON orders TO writer');
    const [placing, granting, ...others] = blocks(README, 'sql');
    await admin.query(granting!);
    const as = (user: string) => postgres.url(name).replace('postgres@', `${user}@`);
    await start({ DATABASE_URL: as('reader') }).logged(ELECTED);
    const psql = (sql: string) => postgres.run('psql', ['-q', '-v', 'ON_ERROR_STOP=1', as('writer')], sql);
    psql(placing!);
    await waitFor(async () => (await generated()) === 1, 'the order');
    expect((await history(redis.client, name))[0]!.message).toEqual({
      id: '1',
      topic: 'order.placed',
      payload: { order: 42 },
    });
    expect(() => psql("INSERT INTO outbox (xid, topic, payload) VALUES ('1', 'x', '1')")).toThrow(
      /permission denied/,
    );
    expect(others.length).toBeGreaterThan(3);
    for (const sql of others) await admin.query(sql);
  });

  describe('a cursor that does not fit this database', () => {
    const refusal = async (cursor: unknown) => {
      await redis.client.hset(`{${name}}:cursor`, 'cursor', JSON.stringify(cursor), 'generated', 0);
      return (
        await start().logged('generating failed: giving up leadership so that another instance can try')
      )['error'];
    };
    const system = () =>
      postgres.run('psql', ['-At', '-c', 'SELECT system_identifier FROM pg_control_system()']).trim();

    it('is refused if it belongs to another task or another PostgreSQL, or is ahead of this one', async () => {
      expect(await refusal(17)).toMatch(/^the cursor 17 is another task's, expected .* NAMESPACE$/);
      await killAll();
      const foreign = { xid: '800', id: '1', system: '7000000000000000000' };
      expect(await refusal(foreign)).toMatch(
        /^the cursor .* is of another PostgreSQL than this, \d+: see "Restored"/,
      );
      await killAll();
      const ahead = { xid: '1000000', id: '1', system: system() };
      expect(await refusal(ahead)).toMatch(/^the cursor .* is ahead of PostgreSQL, .* see "Failed over"/);
    });

    it('can be repaired after a dump and restore as README.md describes', async () => {
      const old = start();
      await old.logged(ELECTED);
      const writer = await postgres.open(name);
      await writer.query('CREATE TABLE elsewhere AS SELECT 1 AS n');
      for (let row = 1; row <= 3; row++) await insert(writer, row);
      await waitFor(async () => (await generated()) === 3, 'the rows before');
      old.signal('SIGKILL');
      await old.exited;
      // Committed but not published at the time of the dump.
      for (let row = 4; row <= 5; row++) await insert(writer, row);
      const dump = postgres.run('pg_dump', [name]);

      const other = await startPostgres(bin!);
      try {
        other.run('createdb', [name]);
        other.run('psql', ['-q', name], dump);
        const cursor = JSON.parse((await redis.client.hget(`{${name}}:cursor`, 'cursor'))!) as Record<
          string,
          string
        >;
        const [sql] = blocks(README, 'sql', '## Restored');
        const [command] = blocks(README, 'sh', '## Restored').filter((block) => block.includes('HDEL'));
        other.run(
          'psql',
          ['-q', '-v', 'ON_ERROR_STOP=1', name],
          sql!.replace('1234', cursor['xid']!).replace('56', cursor['id']!),
        );
        const [, key, field] = /HDEL '(.*)' (\w+)/.exec(command!)!;
        expect(await redis.client.hdel(key!.replace('outbox', name), field!)).toBe(1);

        start({ DATABASE_URL: other.url(name) });
        await waitFor(async () => (await generated()) === 5, 'the rows that were not published yet');
        await insert(await other.open(name), 6);
        await waitFor(async () => (await generated()) === 6, 'a new row');
        expect(await published()).toEqual(['1', '2', '3', '4', '5', '6']);
      } finally {
        await other.stop();
      }
    });
  });
});

it('an invalid DATABASE_URL ends the outbox with exit code 2 and is not shown', async () => {
  for (const url of ['', 'mysql://me:Sesame@host/db']) {
    const { code, stderr } = await runCommand(['start'], {
      TASK,
      DATABASE_URL: url,
      REDISURL: 'redis://127.0.0.1:1',
    });
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/DATABASE_URL is not set to a database, expected postgres:/),
    ]);
    expect(stderr).not.toContain('Sesame');
  }
});

function start(env: Record<string, string> = {}): InstanceProcess {
  return startInstance({
    REDISURL: redis.url,
    NAMESPACE: name,
    TASK,
    DATABASE_URL: postgres.url(name),
    LEASE_TTL_MS: '2000',
    KEEP_COMPLETED: '100000',
    LOG_LEVEL: 'info',
    INSTANCE_NAME: `${name}-${++count}`,
    ...env,
  });
}

const generated = async () => Number((await redis.client.hget(`{${name}}:cursor`, 'generated')) ?? 0);

/** Returns the ids of the rows in the order of their messages. */
async function published(): Promise<string[]> {
  return (await history<{ id: string }>(redis.client, name)).map(({ message }) => message.id);
}

async function insert(client: PostgresClient, row: number): Promise<string> {
  const text = "INSERT INTO outbox (topic, payload) VALUES ('row', $1) RETURNING id";
  const { rows } = await client.query(text, [JSON.stringify({ row })]);
  return rows[0]!['id']!;
}

/** Commits at least `total` rows in transactions that overlap with others, and returns their ids. */
async function write(total: number): Promise<string[]> {
  const client = await postgres.open(name);
  const chance = (share: number) => Math.random() < share;
  const committed: string[] = [];
  while (committed.length < total) {
    const ids: string[] = [];
    await client.query('BEGIN');
    // Assigns the transaction its number long before it writes a row.
    if (chance(0.3)) await client.query('INSERT INTO elsewhere DEFAULT VALUES');
    for (let row = 0; row < 1 + Math.random() * 5; row++) {
      if (chance(0.5)) await sleep(Math.random() * 6);
      await client.query('SAVEPOINT here');
      const id = await insert(client, row);
      if (chance(0.1)) await client.query('ROLLBACK TO here');
      else ids.push(id);
    }
    if (chance(0.15)) {
      await client.query('ROLLBACK');
    } else {
      await client.query('COMMIT');
      committed.push(...ids);
    }
  }
  return committed;
}

/** Returns the code blocks of a language, all of them or those below a heading. */
function blocks(text: string, language: string, heading?: string): string[] {
  const section = heading === undefined ? text : text.split(`${heading}\n`)[1]!.split('\n## ')[0]!;
  return [...section.matchAll(/^```(\w+)\n([^]*?)^```/gm)]
    .filter(([, each]) => each === language)
    .map(([, , code]) => code!);
}
