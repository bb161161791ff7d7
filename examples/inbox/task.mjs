// Effects exactly once: each message { id, topic, payload } becomes a row of the table "received" of a PostgreSQL
// database, once, although a message can be handled more than once.
//
//   INBOX_DATABASE_URL=postgres://user:password@host/database TASK=examples/inbox/task.mjs npm start
//
// It only handles; another instance must generate. fromOutbox.mjs does both, from the table "outbox" to
// the table "received". README.md says how to set it up, and why this is exactly once.
import { env } from 'node:process';
import pg from 'pg';

const URL_OF_DATABASE = env.INBOX_DATABASE_URL || env.DATABASE_URL || '';
if (!/^postgres(ql)?:\/\//.test(URL_OF_DATABASE)) {
  throw new Error(
    'INBOX_DATABASE_URL is not set to a database, expected postgres://user:password@host/database',
  );
}

// A handler that is paused within its transaction holds a lock that the next handler waits for. So PostgreSQL terminates
// such a transaction, and waiting has a timeout as well.
const pool = new pg.Pool({
  connectionString: URL_OF_DATABASE,
  application_name: 'inbox',
  max: 10,
  connectionTimeoutMillis: 10_000,
  idle_in_transaction_session_timeout: 2000,
  lock_timeout: 10_000,
  query_timeout: 30_000,
  keepAlive: true,
  allowExitOnIdle: true,
});
// A connection that breaks while idle. The pool opens another one.
pool.on('error', () => undefined);

// The same attempt can begin twice only if Redis has lost its last writes. The same applies to another message with
// this key, which was then generated again.
const BEGIN_ATTEMPT = `
  INSERT INTO inbox (key, message_id, attempt) VALUES ($1, $2, $3)
  ON CONFLICT (key) DO UPDATE SET message_id = excluded.message_id, attempt = excluded.attempt
    WHERE inbox.message_id <> excluded.message_id OR inbox.attempt <= excluded.attempt
  RETURNING handled_at`;

const MARK_HANDLED = `
  UPDATE inbox SET handled_at = clock_timestamp()
  WHERE key = $1 AND message_id = $2 AND attempt = $3 AND handled_at IS NULL`;

export async function handle(message, { id, attempt, signal, logger }) {
  const token = [keyOf(message), id, attempt];
  const { rows } = await pool.query(BEGIN_ATTEMPT, token);
  if (rows.length === 0) throw new Stale(token);
  if (rows[0].handled_at !== null) {
    logger.info('handled before', { key: token[0], handledAt: rows[0].handled_at });
    return;
  }

  // Anything slow that the effect needs, such as a request to another service, belongs here: before the transaction.
  signal.throwIfAborted();

  await inTransaction(async (database) => {
    // Locks the row: a higher attempt cannot begin until this transaction has ended.
    const { rowCount } = await database.query(MARK_HANDLED, token);
    if (rowCount !== 1) throw new Stale(token);
    await applyEffect(database, message);
  });
}

/** The key of the message. The id in the queue works too, as long as Redis never loses a write. */
function keyOf({ id }) {
  return String(id);
}

/** The effect. Everything that goes through `database` is committed together with the mark, or not at all. */
async function applyEffect(database, { id, topic, payload }) {
  await database.query('INSERT INTO received (outbox_id, topic, payload) VALUES ($1, $2, $3)', [
    id,
    topic,
    JSON.stringify(payload),
  ]);
}

async function inTransaction(work) {
  const database = await pool.connect();
  let failure;
  try {
    await database.query('BEGIN');
    await work(database);
    await database.query('COMMIT');
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    // A connection whose transaction failed is closed, which rolls back whatever state it is in.
    database.release(failure);
  }
}

class Stale extends Error {
  name = 'Stale';

  constructor([key, id, attempt]) {
    super(
      `attempt ${attempt} of message ${id} (${key}) is stale: a newer one has begun, expected to be the newest`,
    );
  }
}
