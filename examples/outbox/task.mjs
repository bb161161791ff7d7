// The transactional outbox: each row that a transaction has committed to the table "outbox" of a PostgreSQL database
// becomes a message { id, topic, payload }, once.
//
//   DATABASE_URL=postgres://user:password@host/database TASK=examples/outbox/task.mjs npm start
//
// README.md describes the setup, and why rows are ordered by (xid, id) and not by id.
import { env } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

if (!/^postgres(ql)?:\/\//.test(env.DATABASE_URL ?? '')) {
  throw new Error('DATABASE_URL is not set to a database, expected postgres://user:password@host/database');
}
const POLL_MS = Number(env.POLL_MS || 1000);
if (!(POLL_MS > 0)) throw new Error(`POLL_MS is ${JSON.stringify(env.POLL_MS)}, expected milliseconds`);

const SHARDS = Number(env.SHARDS || 1);
if (!Number.isInteger(SHARDS) || SHARDS < 1 || SHARDS > 256) {
  throw new Error(`SHARDS is ${JSON.stringify(env.SHARDS)}, expected a whole number from 1 to 256`);
}

/** With several shards, one source per shard, which reads the rows whose id belongs to it. */
export const sources = SHARDS === 1 ? undefined : Array.from({ length: SHARDS }, (_, index) => nameOf(index));

const ROWS_PER_BATCH = 500;
/** Minimum pause between two reads that find nothing, however many notifications arrive. */
const SOON_MS = 10;
const MAX_RETRY_MS = 5000;
/** After this long without the database, another instance can try, in case only this one cannot reach it. */
const GIVE_UP_MS = 60_000;

// Rows below the horizon, the oldest running transaction, are final: each transaction below it has
// committed or rolled back, and no new one gets a number that low. So nothing can appear behind the cursor.
// ORDER BY names the table: a bare name would mean the text that is selected under it.
const NEXT_ROWS = `
  SELECT id::text, xid::text, topic, payload
  FROM outbox
  WHERE (xid, id) > ($1::xid8, $2::bigint)
    AND xid < pg_snapshot_xmin(pg_current_snapshot())
    AND ($3::int = 1 OR ('x' || left(md5(id::text), 7))::bit(28)::int % $3::int = $4::int)
  ORDER BY outbox.xid, outbox.id
  LIMIT ${ROWS_PER_BATCH}`;

export async function* generate({ cursor, source, signal, logger }) {
  const shard = shardOf(source);
  const bell = new Bell();
  signal.addEventListener('abort', () => bell.ring(), { once: true });
  let retryMs = 0;
  let awaySince;
  while (!signal.aborted) {
    const database = connect(bell);
    try {
      await database.connect();
      await listen(database, logger);
      cursor = await check(cursor, database);
      for (let pauseMs = SOON_MS; !signal.aborted;) {
        const { rows } = await database.query(NEXT_ROWS, [cursor.xid, cursor.id, SHARDS, shard]);
        retryMs = 0;
        awaySince = undefined;
        if (rows.length > 0) {
          const { xid, id } = rows.at(-1);
          cursor = { ...cursor, xid, id };
          yield { messages: rows.map(({ id, topic, payload }) => ({ id, topic, payload })), cursor };
          pauseMs = SOON_MS;
        } else {
          // An older transaction, whose end sends no notification, can still hold back the row of a notification.
          pauseMs = (await bell.wait(pauseMs)) ? SOON_MS : Math.min(pauseMs * 4, POLL_MS);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      awaySince ??= performance.now();
      if (!isPassing(error) || performance.now() - awaySince > GIVE_UP_MS) throw error;
      retryMs = Math.min(Math.max(100, retryMs * 2), MAX_RETRY_MS);
      logger.warn('PostgreSQL is away; trying again', { error, inMs: retryMs });
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    } finally {
      // Not awaited: a half-open connection would never close in order.
      void database.end().catch(() => {});
    }
  }
}

export function handle({ id, topic, payload }, { logger }) {
  logger.info(`row ${id}`, { topic, payload });
}

/** The number of shards is part of the name: a cursor of one of 2 means nothing to one of 4. */
function nameOf(shard) {
  return `shard${shard}of${SHARDS}`;
}

function shardOf(source) {
  const shard = source === undefined && SHARDS === 1 ? 0 : (sources ?? []).indexOf(source);
  if (shard !== -1) return shard;
  throw new Error(
    `the source is ${source ?? 'not named'}, expected ${SHARDS === 1 ? 'none, or SHARDS to be set' : `${sources[0]} to ${sources.at(-1)}`}`,
  );
}

function connect(bell) {
  const database = new pg.Client({
    connectionString: env.DATABASE_URL,
    application_name: 'outbox',
    connectionTimeoutMillis: 5000,
    query_timeout: 30_000,
    keepAlive: true,
  });
  database.on('notification', () => bell.ring());
  // The next query fails, which is soon enough.
  database.on('error', () => bell.ring());
  return database;
}

/** Falls back to polling if LISTEN does not work, as behind a pooler with one connection per transaction. */
async function listen(database, logger) {
  await database.query('LISTEN outbox').catch((error) => {
    if (!(error instanceof pg.DatabaseError)) throw error;
    logger.warn('PostgreSQL cannot be listened to; the table is polled', { error });
  });
}

/** The cursor to continue from. Throws if its transaction numbers are of another database, since rows would be lost. */
async function check(cursor, database) {
  const { rows } = await database.query(`
    SELECT system_identifier::text AS system, pg_snapshot_xmax(pg_current_snapshot())::text AS next
    FROM pg_control_system()`);
  const { system, next } = rows[0];
  if (cursor === undefined) return { xid: '0', id: '0', system };
  const found = JSON.stringify(cursor);
  if (typeof cursor?.xid !== 'string' || typeof cursor.id !== 'string') {
    throw new Foreign(
      `the cursor ${found} is another task's, expected { xid, id, system }: give this one a NAMESPACE`,
    );
  }
  if (cursor.system !== system) {
    throw new Foreign(
      `the cursor ${found} is of another PostgreSQL than this, ${system}: see "Restored" in its README.md`,
    );
  }
  if (BigInt(cursor.xid) >= BigInt(next)) {
    throw new Foreign(
      `the cursor ${found} is ahead of PostgreSQL, whose next transaction is ${next}: see "Failed over" in its README.md`,
    );
  }
  return cursor;
}

class Foreign extends Error {}

/** Whether the error is temporary. Errors of PostgreSQL about users, rights and names are not. */
function isPassing(error) {
  if (error instanceof pg.DatabaseError) return !/^(28|3D|42)/.test(error.code);
  return !(error instanceof Foreign);
}

/** A wait that a notification ends. */
class Bell {
  #rung = false;
  #wake = () => {};

  ring() {
    this.#rung = true;
    this.#wake();
  }

  /** Returns whether there was a notification since the last wait. */
  async wait(ms) {
    await sleep(Math.min(ms, SOON_MS));
    if (!this.#rung) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, ms - SOON_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}
